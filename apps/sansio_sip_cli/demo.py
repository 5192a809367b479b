"""`demo`: a real call between two phones over the embedded server, judged by ear.

A server listens for SIP over WebSocket on loopback. Bob registers and waits; Alice registers, calls, presses 1234# and
both speak at once, each something else. What each has heard is compared with what the other has said.
"""

import secrets
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sansio_sip.context import Secret
from sansio_sip.server import ServerOptions
from sansio_sip.server.events import ServerFailed, ServerListening
from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip.softphone.options import AccountOptions
from sansio_sip_media.likeness import Likeness, likeness

from .audio import Clip, Recorder, UnreadableAudio, load
from .build import Recording, build_phone, build_server
from .output import Reporter
from .plans import AnswerPlan, CallPlan
from .runner import Running, started
from .runtimes import Runtime, choose
from .scripted_phone import Finished, Plan, ScriptedPhone

__all__ = ["demo"]

SPEECH = Path(__file__).parent / "speech"
DIGITS = "1234#"
RATE = 16_000

# A phone that hears its own voice passes no test by that.
MAX_OWN_LIKENESS = 0.3

# Seconds to the answer, for the digits, and for the good-bye, beside the speech itself: for the bar alone.
AROUND_SPEECH = 3.0


@click.command()
@click.option("--dir", "folder", type=Path, default=Path("demo"), show_default=True, help="Where the files go.")
@click.option("--runtime", type=click.Choice(["asyncio", "trio"]), default="asyncio", show_default=True)
@click.option("--seed", type=int, metavar="N", help="Of our own random draws; keys never come from it.")
@click.option("--mute", type=click.Choice(["alice", "bob"]), help="Mute one: the comparison must then fail.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def demo(folder: Path, runtime: str, seed: int | None, mute: str | None, as_json: bool) -> None:
    """Place a real call on the embedded server; write both recordings and a trace into --dir."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"cannot write into {folder}: {error.strerror}; give another --dir") from None
    sys.exit(Demo(folder, choose(runtime), seed=seed, mute=mute, as_json=as_json).run())


class Demo:
    """One run of the demo."""

    def __init__(self, folder: Path, runtime: Runtime, *, seed: int | None, mute: str | None, as_json: bool) -> None:
        self._folder = folder
        self._runtime = runtime
        self._seed = seed
        self._mute = mute
        self._as_json = as_json
        self._passwords = {name: Secret(secrets.token_urlsafe(12)) for name in ("alice", "bob")}
        self._clips = {name: load(SPEECH / f"{name}.wav") for name in ("alice", "bob")}
        self._recorders = {name: Recorder(folder / f"{name}-heard.wav", RATE) for name in ("alice", "bob")}
        self._reporters = {name: Reporter(as_json=as_json, who=name) for name in ("alice", "bob")}
        self._progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=as_json or not sys.stderr.isatty(),
        )

    def run(self) -> int:
        for name, clip in self._clips.items():
            said = Recorder(self._folder / f"{name}-said.wav", clip.rate)
            said.write(clip.samples)
            said.close()
        recording = Recording(self._folder / "trace.jsonl", full=True)
        try:
            with self._progress:
                return self._runtime.run(lambda: self._main(recording))
        finally:
            for recorder in self._recorders.values():
                recorder.close()
            recording.close()

    async def _main(self, recording: Recording) -> int:
        origin = self._runtime.now()
        for reporter in self._reporters.values():
            reporter.origin = origin
        async with AsyncExitStack() as stack:
            url = await self._serve(stack, recording)
            bob_ready = self._runtime.event()

            def on_bob(event: Any, now: float) -> None:
                self._reporters["bob"].event(event, now)
                if isinstance(event, events.Login | Finished):
                    bob_ready.set()

            bob = await stack.enter_async_context(started(self._runtime, self._phone("bob", url, recording), on_bob))
            await bob_ready.wait()
            if bob.outcome is not None:
                return self._give_up(bob)
            task = self._progress.add_task("calling", total=self._clips["alice"].seconds + AROUND_SPEECH)

            def on_alice(event: Any, now: float) -> None:
                self._reporters["alice"].event(event, now)
                if isinstance(event, events.CallAnswered):
                    self._progress.update(task, description="talking")
                self._progress.update(task, completed=now - calling_at)

            calling_at = self._runtime.now()
            alice = await stack.enter_async_context(
                started(self._runtime, self._phone("alice", url, recording), on_alice)
            )
            both = (alice, bob)

            def interrupt() -> None:
                for each in both:
                    each.interrupt()

            async with self._runtime.interrupts(interrupt):
                for each in both:
                    await each.finished()
            for each in both:
                assert each.outcome is not None
                if each.outcome.exit_status:
                    return self._give_up(each)
        return self._judge()

    async def _serve(self, stack: AsyncExitStack, recording: Recording) -> str:
        """Starts the server; returns its URL."""
        options = ServerOptions(domain="demo.invalid", listen=("ws://127.0.0.1:0",), users=self._passwords)
        server = build_server(options, recording=recording, seed=self._seed)
        listening = self._runtime.event()
        found: list[Any] = []

        def deliver(event: Any) -> None:
            if isinstance(event, ServerListening | ServerFailed):
                found.append(event)
                listening.set()

        await stack.enter_async_context(self._runtime.open_driver(server, deliver))
        await listening.wait()
        if isinstance(found[0], ServerFailed):
            raise click.ClickException(f"the server cannot listen on loopback: {found[0].reason}")
        self._reporters["alice"].say(f"server listens at {found[0].url}", self._runtime.now())
        return str(found[0].url)

    def _phone(self, name: str, url: str, recording: Recording) -> ScriptedPhone:
        account = AccountOptions(
            address=f"sip:{name}@demo.invalid",
            password=self._passwords[name],
            servers=(url,),
            display_name=name.capitalize(),
        )
        muted = self._mute == name
        clip, recorder = self._clips[name], self._recorders[name]
        plan: Plan
        if name == "bob":
            plan = AnswerPlan(account, clip=clip, recorder=lambda _: recorder, ring=0.5, mute=muted)
        else:
            plan = CallPlan(account, "bob", clip=clip, recorder=recorder, digits=DIGITS, mute=muted)
        return ScriptedPhone(build_phone(name, recording=recording, seed=self._seed), plan)

    def _give_up(self, running: Running) -> int:
        assert running.outcome is not None
        print(f"sansio-sip: {running.outcome.error or 'interrupted'}", file=sys.stderr)
        return running.outcome.exit_status or 1

    # The verdict

    def _judge(self) -> int:
        now = self._runtime.now()
        good = True
        for name, other in (("alice", "bob"), ("bob", "alice")):
            report = next(iter(self._reporters[name].calls.values()))
            statistics = report.statistics or MediaStatistics()
            self._recorders[name].close()
            heard = load_or_silence(self._folder / f"{name}-heard.wav")
            verdict = compare(self._clips[other], heard)
            own = compare(self._clips[name], heard)
            same = verdict.same and own.median < MAX_OWN_LIKENESS
            digits = report.digits if name == "bob" else ""
            good = good and same and (name == "alice" or digits == DIGITS)
            reporter = self._reporters[name]
            reporter.say(
                f"ICE {_ms(statistics.ice_ms)}, DTLS {_ms(statistics.dtls_ms)}, media after {_ms(statistics.setup_ms)}",
                now,
            )
            reporter.say(
                f"heard {other} with likeness {verdict.median:.3f} (median of {verdict.windows} windows of 1 s, "
                f"{verdict.good:.0%} at 0.7 or more, {verdict.gain_db:+.1f} dB), itself {own.median:.3f}: "
                f"{'good' if same else 'NOT GOOD'}",
                now,
            )
            reporter.row(
                {
                    "event": "likeness",
                    "heard": other,
                    "median": round(verdict.median, 4),
                    "good": round(verdict.good, 4),
                    "gain_db": round(verdict.gain_db, 2) if verdict.windows else None,
                    "own": round(own.median, 4),
                    "ice_ms": statistics.ice_ms,
                    "dtls_ms": statistics.dtls_ms,
                    "media_ms": statistics.setup_ms,
                    "same": same,
                }
            )
        exit_status = 0 if good else 1
        for reporter in self._reporters.values():
            reporter.summary(exit_status, now)
        files = ", ".join(sorted(path.name for path in self._folder.iterdir()))
        self._reporters["alice"].say(f"{self._folder}: {files}", now)
        if not good:
            print("sansio-sip: what was heard is not what was said; see the lines above", file=sys.stderr)
        return exit_status


def compare(said: Clip, heard: Clip) -> Likeness:
    """How much of what was said is in what was heard, both at the demo's rate."""
    return likeness(said.samples, heard.samples, RATE)


def load_or_silence(path: Path) -> Clip:
    """A recording; an empty one counts as silence."""
    try:
        return load(path)
    except UnreadableAudio:
        return Clip(np.zeros(RATE, dtype=np.int16), RATE)


def _ms(milliseconds: float | None) -> str:
    return "unknown" if milliseconds is None else f"{milliseconds:.0f} ms"
