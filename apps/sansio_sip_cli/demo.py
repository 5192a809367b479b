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

from sansio_sip.context import Secret
from sansio_sip.server import ServerOptions
from sansio_sip.server.events import ServerFailed, ServerListening
from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip.softphone.options import AccountOptions

from .answer_plan import AnswerPlan
from .audio import SPEECH, Recorder, load
from .build import Recording, build_phone, build_server
from .call_plan import CallPlan
from .exit_status import DONE, FAILED
from .output import Reporter
from .progress import Bar
from .runner import Running, started
from .runtimes import Runtime, choose, go_first
from .scripted_phone import Finished, Plan, ScriptedPhone
from .verdict import Verdict

__all__ = ["demo"]

DIGITS = "1234#"
TRACE = "trace.jsonl"

# Who hears whom.
PAIRS = (("alice", "bob"), ("bob", "alice"))

# Seconds to the answer, for the digits, and for the good-bye, beside the speech itself: for the bar alone.
AROUND_SPEECH = 3.0


@click.command()
@click.option("--dir", "folder", type=Path, default=Path("demo"), show_default=True, help="Where the files go.")
@click.option(
    "--runtime",
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    help="The event loop to run on.",
)
@click.option("--seed", type=int, metavar="N", help="Of our own random draws; keys never come from it.")
@click.option("--mute", type=click.Choice(["alice", "bob"]), help="Mute one: the comparison must then fail.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def demo(folder: Path, runtime: str, seed: int | None, mute: str | None, as_json: bool) -> int:
    """Place a real call between two phones on an embedded server.

    What each said and heard (WAV) and a trace of it all go into --dir. Exit status 1 where one did not hear the other.
    """
    loop = choose(runtime)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--dir is {str(folder)!r}: {error.strerror}; give a folder") from None
    return Demo(folder, loop, seed=seed, mute=mute, as_json=as_json).run()


class Demo:
    """One run of the demo."""

    def __init__(self, folder: Path, runtime: Runtime, *, seed: int | None, mute: str | None, as_json: bool) -> None:
        self._folder = folder
        self._runtime = runtime
        self._seed = seed
        self._mute = mute
        self._passwords = {name: Secret(secrets.token_urlsafe(12)) for name in ("alice", "bob")}
        self._clips = {name: load(SPEECH / f"{name}.wav") for name in ("alice", "bob")}
        self._recorders = {
            name: Recorder(folder / f"{name}-heard.wav", self._clips[other].rate) for name, other in PAIRS
        }
        self._reporters = {name: Reporter(as_json=as_json, who=name) for name in ("alice", "bob")}
        self._bar = Bar(quiet=as_json)

    def run(self) -> int:
        """Returns the exit status."""
        for name, clip in self._clips.items():
            said = Recorder(self._folder / f"{name}-said.wav", clip.rate)
            said.write(clip.samples)
            said.close()
        recording = Recording(self._folder / TRACE, full=True)
        self._bar.start()
        go_first()
        try:
            return self._runtime.run(lambda: self._main(recording))
        finally:
            self._bar.stop()
            for recorder in self._recorders.values():
                recorder.close()
            recording.close()

    async def _main(self, recording: Recording) -> int:
        origin = self._runtime.now()
        for reporter in self._reporters.values():
            reporter.origin = origin
        phones: list[Running] = []
        bob_ready = self._runtime.event()

        def interrupt() -> None:
            for phone in phones:
                phone.interrupt()
            bob_ready.set()

        async with AsyncExitStack() as stack:
            url = await self._serve(stack, recording)

            def on_bob(event: Any, now: float) -> None:
                self._reporters["bob"].event(event, now)
                if isinstance(event, events.Login | Finished):
                    bob_ready.set()

            phones.append(
                await stack.enter_async_context(started(self._runtime, self._phone("bob", url, recording), on_bob))
            )
            await stack.enter_async_context(self._runtime.interrupts(interrupt))
            for reporter in self._reporters.values():
                reporter.on_reader_gone = interrupt
            await bob_ready.wait()
            if phones[0].outcome is None and not phones[0].interrupted:
                phone = self._phone("alice", url, recording)
                phones.append(await stack.enter_async_context(started(self._runtime, phone, self._on_alice)))
            outcomes = [await phone.finished() for phone in reversed(phones)]
            for outcome in outcomes:
                if outcome.exit_status:
                    self._bar.stop()
                    print(f"sansio-sip: {outcome.error or 'interrupted'}", file=sys.stderr)
                    return outcome.exit_status
        return self._judge()

    def _on_alice(self, event: Any, now: float) -> None:
        reporter = self._reporters["alice"]
        reporter.event(event, now)
        for call in reporter.calls.values():
            talking = call.answered is not None
            total = self._clips["alice"].seconds + AROUND_SPEECH
            self._bar.show("talking" if talking else "calling", now - call.began, total)

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
            raise click.ClickException(f"the server cannot listen on loopback: {found[0].reason}; is there a loopback?")
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

    def _judge(self) -> int:
        """Says what each has heard. Returns the exit status."""
        now = self._runtime.now()
        self._bar.stop()
        digits = next(iter(self._reporters["bob"].calls.values())).digits
        good = digits == DIGITS
        for name, other in PAIRS:
            self._recorders[name].close()
            reporter = self._reporters[name]
            verdict = Verdict.of(
                self._folder / f"{name}-heard.wav",
                other,
                self._clips[other],
                self._clips[name],
                next(iter(reporter.calls.values())).statistics or MediaStatistics(),
            )
            good = good and verdict.good
            for line in verdict.lines():
                reporter.say(line, now)
            reporter.row({"event": "likeness", **verdict.as_dict()})
        exit_status = DONE if good else FAILED
        for reporter in self._reporters.values():
            reporter.summary(exit_status, now)
        alice = self._reporters["alice"]
        alice.say(f"digits sent {DIGITS}, received {digits or 'none'}", now)
        alice.say(f"in {self._folder}: what each said and heard, and {TRACE}", now)
        if not good:
            print("sansio-sip: what was heard is not what was said; see the lines above", file=sys.stderr)
        return exit_status
