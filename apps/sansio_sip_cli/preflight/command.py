"""`preflight`: whether an account would work from here, stage by stage, and what to do where it would not."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import MediaOptions, MediaProfile
from sansio_sip.softphone.softphone import Softphone
from sansio_sip_cli.account import SECONDS, account_options, warn_unless
from sansio_sip_cli.account_plan import AccountPlan
from sansio_sip_cli.audio import SPEECH, Clip, Recorder, load
from sansio_sip_cli.build import Recording, build_engine, build_phone
from sansio_sip_cli.call_plan import CallPlan
from sansio_sip_cli.exit_status import DONE, INTERRUPTED
from sansio_sip_cli.output import Reporter
from sansio_sip_cli.phone_commands import Run
from sansio_sip_cli.runner import started
from sansio_sip_cli.runtimes import Runtime, choose
from sansio_sip_cli.scripted_phone import Finished
from sansio_sip_cli.verdict import load_or_silence
from sansio_sip_media.likeness import likeness

from .ice_probe import Gathered, IceProbe
from .signalling import Signalling, WatchedPhone
from .stages import Stage, Stages

__all__ = ["preflight"]

# Seconds of speech for the echo, and for it to come back.
SPEAK, RETURN = 4.0, 2.0

# A voice that made the way twice: through two codecs, and two jitter buffers that stretch.
MIN_LIKENESS = 0.6


@click.command()
@account_options
@click.option("--echo", metavar="TARGET", help="Whom to call for an echo: an echo test of the provider's.")
@click.option(
    "--ring-timeout", type=SECONDS, default=20.0, show_default=True, metavar="SECONDS", help="For the echo call."
)
def preflight(echo: str | None, ring_timeout: float, **options: Any) -> int:
    """Say whether ACCOUNT would work from here: DNS, TCP, TLS, WebSocket, STUN, TURN, registration, echo call.

    ACCOUNT is a SIP address, such as sip:alice@example.com. Exit status 0 where no stage failed, 4 where the server
    cannot be reached, 3 where it refuses the login, 1 where STUN, TURN or the echo call fails.
    """
    run = Run.of(options)
    if not run.account.servers:
        raise click.UsageError("preflight looks at the way to a server: give --server, or leave out --no-register")
    if len(run.account.servers) > 1 or run.account.flows > 1:
        raise click.UsageError("preflight looks at the way to one server: give --server once, and no --flows")
    warn_unless(tls_verify=run.account.tls_verify)
    recording = Recording(Path(run.trace), full=run.trace_audio) if run.trace is not None else None
    runtime = choose(run.runtime)
    try:
        with TemporaryDirectory(prefix="sansio-sip-") as folder:
            flight = Preflight(run, runtime, Path(folder) / "heard.wav", echo, ring_timeout, recording)
            return runtime.run(flight.main)
    finally:
        if recording is not None:
            recording.close()


class ReachPlan(AccountPlan):
    """Logs in, or connects; and ends."""

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None:
        if self.became_ready(phone, event, now=now):
            self.finish(phone, DONE, "", now)

    def on_alarm(self, phone: Softphone, *, now: float) -> None:
        for name, _ in self._alarms.due(now):
            self.account_alarm(phone, name, now=now)


class Preflight:
    """One run."""

    def __init__(
        self,
        run: Run,
        runtime: Runtime,
        heard: Path,
        echo: str | None,
        ring_timeout: float,
        recording: Recording | None,
    ) -> None:
        self._run = run
        self._runtime = runtime
        self._echo = echo
        self._recording = recording
        self._stages = Stages()
        self._watch = Signalling(run.account.servers[0], self._stages, registers=run.registers)
        self._reporter = Reporter()
        self._clip = _speech()
        self._heard = heard
        self._ring_timeout = ring_timeout
        self._interrupted = False
        self._part: Callable[[], object] = lambda: None
        """Ends what is under way."""

    async def main(self) -> int:
        """Looks at everything, or as far as it comes before an interrupt; says it. Returns the exit status."""
        async with self._runtime.interrupts(self._interrupt):
            outcome = await self._phone()
            for look in (self._stun, self._turn):
                if not self._interrupted:
                    await look()
            if not self._interrupted:
                self._judge_echo(outcome)
        self._say()
        return INTERRUPTED if self._interrupted else self._stages.exit_status

    def _interrupt(self) -> None:
        self._interrupted = True
        self._part()

    async def _phone(self) -> Finished:
        account, plan = self._run.account, self._plan()
        phone = WatchedPhone(build_phone(recording=self._recording), plan, self._watch)

        def deliver(event: Any, now: float) -> None:
            if isinstance(event, events.LogLine):
                if self._run.verbose:
                    print(event.text, file=sys.stderr)
            elif not isinstance(event, Finished):
                self._reporter.keep(event, now)

        async with started(self._runtime, phone, deliver) as running:
            self._part = running.interrupt
            outcome = await running.finished()
        plan.end()
        if Stage.TLS not in self._stages and account.servers[0].startswith(("ws:", "tcp:")):
            self._stages.skip(Stage.TLS, "not asked for: messages and passwords' digests go in the clear")
        return outcome

    def _plan(self) -> ReachPlan | CallPlan:
        account, registers = self._run.account, self._run.registers
        if self._echo is None:
            return ReachPlan(account, register=registers)
        return CallPlan(
            account,
            self._echo,
            register=registers,
            clip=self._clip,
            recorder=Recorder(self._heard, self._clip.rate),
            duration=SPEAK + RETURN,
            ring_timeout=self._ring_timeout,
        )

    async def _stun(self) -> None:
        urls = self._run.account.stun_servers
        if not urls:
            self._stages.skip(Stage.STUN, "no --stun was given")
            return
        advice = "check the address; UDP to it and back must pass the firewall"
        await self._gather(Stage.STUN, "srflx", advice, stun_servers=urls)

    async def _turn(self) -> None:
        servers = self._run.account.turn_servers
        if not servers:
            self._stages.skip(Stage.TURN, "no --turn was given: callers behind strict firewalls need it")
            return
        advice = "check address, --turn-user and --turn-password, and that its port is open"
        await self._gather(Stage.TURN, "relay", advice, turn_servers=servers, relay_only=True)

    async def _gather(self, stage: Stage, kind: str, advice: str, **servers: Any) -> None:
        account = self._run.account
        options = MediaOptions(
            profiles=(MediaProfile.WEBRTC,),
            bind=self._bind(),
            ca_file=account.ca_file,
            tls_verify=account.tls_verify,
            **servers,
        )
        probe = IceProbe(build_engine(), options)
        found: list[Gathered] = []
        began = self._runtime.now()
        drivers: list[Any] = []

        def deliver(output: Gathered) -> None:
            found.append(output)
            for each in drivers:
                each.finish()

        async with self._runtime.open_driver(probe, deliver) as driver:
            drivers.append(driver)
            self._part = driver.finish
            if found or self._interrupted:
                driver.finish()
            await driver.finished()
        if not found:  # interrupted
            return
        took = self._runtime.now() - began
        result = found[0]
        candidates = [row for row in result.candidates if f"typ {kind}" in row]
        if candidates:
            words = candidates[0].split()
            self._stages.ok(stage, f"we are {words[4]}:{words[5]} there", took)
        elif result.problems or kind == "relay":
            self._stages.fail(stage, "; ".join(result.problems) or "no address was given", advice)
        else:
            # RFC 8445 section 5.1.3: a mapped address that equals the one of the socket is no candidate of its own.
            self._stages.ok(stage, "no NAT: the server sees our own address", took)

    def _bind(self) -> tuple[str, ...]:
        """Where a call would take its audio."""
        if self._run.account.media_addresses:
            return self._run.account.media_addresses
        local = self._watch.local
        return (local.host,) if local is not None and local.host not in ("0.0.0.0", "::") else ("0.0.0.0",)

    def _judge_echo(self, outcome: Finished) -> None:
        if self._echo is None:
            self._stages.skip(Stage.ECHO, "give --echo TARGET: an echo test of the provider, or `answer --echo`")
            return
        failing = self._stages.failing
        if failing is not None and failing.stage not in (Stage.STUN, Stage.TURN):
            self._stages.skip(Stage.ECHO, f"not reached: {failing.stage.value} failed")
            return
        call = next(iter(self._reporter.calls.values()), None)
        if call is None or call.answered is None:
            self._stages.fail(Stage.ECHO, outcome.error or "the call never began", "check that --echo can be called")
            return
        statistics = call.statistics
        if statistics is None or statistics.setup_ms is None:
            self._stages.fail(Stage.ECHO, "answered, but no way for audio was found", "give --stun and --turn")
            return
        if not statistics.packets_received:
            detail = f"no audio arrives ({statistics.packets_sent} packets sent): one-way"
            self._stages.fail(Stage.ECHO, detail, "UDP back to us is dropped: give --turn, or open the firewall")
            return
        samples = load_or_silence(self._heard, self._clip.rate).samples
        found = likeness(self._clip.samples, samples, self._clip.rate)
        summary = call.as_dict()
        score = "" if summary["mos"] is None else f", MOS {summary['mos']:.2f}"
        if found.median >= MIN_LIKENESS:
            detail = f"heard ourselves after {1000 * found.delay:.0f} ms, {summary['lost']} packets lost{score}"
            self._stages.ok(Stage.ECHO, detail, call.answered - call.began)
        else:
            detail = f"audio arrives, but it is not ours (likeness {found.median:.2f}{score})"
            self._stages.fail(Stage.ECHO, detail, "does TARGET echo? if it does, audio is damaged on the way")

    def _say(self) -> None:
        verdicts = self._stages.all()
        failing = self._stages.failing
        if self._run.as_json:
            for verdict in verdicts:
                print(json.dumps(verdict.as_dict(), ensure_ascii=False))
            status = INTERRUPTED if self._interrupted else self._stages.exit_status
            row = {"event": "summary", "exit": status, "failing": failing.stage.value if failing is not None else None}
            print(json.dumps(row))
            return
        for verdict in verdicts:
            for line in verdict.lines():
                print(line)
        if failing is not None:
            print(f"sansio-sip: {failing.stage.value} failed: {failing.detail}; {failing.advice}", file=sys.stderr)


def _speech() -> Clip:
    whole = load(SPEECH / "alice.wav")
    return Clip(np.ascontiguousarray(whole.samples[: round(SPEAK * whole.rate)]), whole.rate)
