"""The phone behind the screen: an account, its calls, what is said of them, the sound. It knows of no screen."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import AccountId, CallDirection, CallInfo, CallState, CallUuid
from sansio_sip.softphone.media_plane import AudioLevels, MediaStatistics
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.quality import QualitySample, sample_between
from sansio_sip.softphone.softphone import Softphone
from sansio_sip_asyncio.driver import Driver
from sansio_sip_cli.account_plan import advice
from sansio_sip_cli.output import words

__all__ = ["MAX_LINES", "Line", "Lines", "Party"]

# What is kept of the past: as much as a person scrolls back.
MAX_LINES = 500

# Samples of quality, one a second: what a curve of the screen's width shows.
MAX_SAMPLES = 120

SILENT = (events.AudioReady, events.LogLine, events.DtmfSent, events.WebSocketConnected)
ENDS = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled, events.IncomingCallIgnored)


class Lines(deque[str]):
    """The last lines. `total`: how many there ever were."""

    total = 0

    def append(self, line: str) -> None:
        self.total += 1
        super().append(line)


@dataclass(slots=True)
class Party:
    """A call, as the screen shows it. Times in seconds of the loop."""

    info: CallInfo
    began: float
    answered: float | None = None
    held: bool = False
    muted: bool = False
    digits: str = ""
    before: MediaStatistics = field(default_factory=MediaStatistics)
    mos: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    jitter: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    latest: QualitySample = field(default_factory=QualitySample)

    @property
    def far_end(self) -> str:
        incoming = self.info.direction is CallDirection.INCOMING
        return (self.info.src if incoming else self.info.dest).removeprefix("sip:")

    @property
    def state(self) -> str:
        if self.info.state is CallState.ANSWERED:
            return "on hold" if self.held else "muted" if self.muted else "talking"
        if self.info.state is CallState.RINGING:
            return "rings here" if self.info.direction is CallDirection.INCOMING else "ringing"
        return "calling" if self.info.state is CallState.INITIALIZED else self.info.state.value


class Line:
    """The account and its calls. Give `deliver` to the driver, then `open`.

    Attributes:
        status: of the account, for people. parties: the calls that are up, oldest first.
        log, ladder: lines, the latest last. changed: called when there is news.
        heard: called with what was heard of the chosen call, int16 samples at `RATE` Hz.
    """

    RATE = 16_000

    def __init__(self, phone: Softphone, options: AccountOptions, *, registers: bool) -> None:
        self.status = "connecting"
        self.is_ready = False
        self.parties: dict[CallUuid, Party] = {}
        self.log = Lines(maxlen=MAX_LINES)
        self.ladder = Lines(maxlen=MAX_LINES)
        self.changed: Callable[[], object] = lambda: None
        self.heard: Callable[[Any], object] = lambda _: None
        self.closed = asyncio.Event()
        self.options = options
        self.machine = phone
        self._registers = registers and bool(options.servers)
        self._driver: Driver[Any] | None = None
        self._account: AccountId | None = None
        self._chosen: CallUuid | None = None
        self._began = 0.0

    # What a person does. Each says in the log what could not be done.

    def open(self, driver: Driver[Any]) -> None:
        """Logs in, or is just there."""
        self._driver = driver
        self._began = driver.now()
        self._account = self._command("add_account", self.options)
        self._command("set_sip_trace", True)
        if self._registers:
            self._command("login", self._account)
        elif self.options.servers:
            self._command("connect", self._account)

    def call(self, target: str) -> None:
        """Calls somebody; calls that are up are put on hold."""
        if not target:
            self.tell("whom? type a name, a number or a SIP address")
            return
        placed = self._try("call", self._account, target)
        if placed is not None:
            self._chosen = placed
            self._hold_all_but(placed)

    def answer(self) -> None:
        """Answers the call that rings longest."""
        ringing = [call for call, party in self.parties.items() if party.state == "rings here"]
        if not ringing:
            self.tell("nobody calls")
            return
        self._hold_all_but(ringing[0])
        self._chosen = ringing[0]
        self._try("answer", ringing[0])

    def _hold_all_but(self, chosen: CallUuid) -> None:
        for call, party in list(self.parties.items()):
            if call != chosen and party.answered is not None and not party.held:
                self._try("hold", call)

    def hang_up(self) -> None:
        """Ends the chosen call; refuses it where it rings."""
        if (call := self._now("hang up")) is not None:
            self._try("reject" if self.parties[call].state == "rings here" else "hangup", call)

    def toggle_hold(self) -> None:
        if (call := self._now("hold")) is not None:
            self._try("resume" if self.parties[call].held else "hold", call)

    def toggle_mute(self) -> None:
        if (call := self._now("mute")) is not None:
            party = self.parties[call]
            if self._try("unmute" if party.muted else "mute", call) is not False:
                party.muted = not party.muted
                self.tell("muted" if party.muted else "no longer muted")

    def press(self, digit: str) -> None:
        if (call := self._now("press keys")) is not None:
            self._try("send_dtmf", call, digit)

    def transfer(self, target: str) -> None:
        """Sends the far end to `target`; without one, joins the far ends of two calls."""
        if (call := self._now("transfer")) is None:
            return
        others = [name for name, party in self.parties.items() if name != call and party.answered is not None]
        if target:
            self._try("transfer", call, target)
        elif others:
            self._try("attended_transfer", call, others[-1])
        else:
            self.tell("to whom? type a name, or have a second call")

    def choose(self, call: CallUuid) -> None:
        """Keys, sound and commands are for this call from now on."""
        if call in self.parties:
            self._chosen = call
            self.changed()

    async def part(self, patience: float) -> None:
        """Hangs up and logs out, for up to `patience` seconds."""
        self._command("close")
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.closed.wait()

    def say(self, samples: Any, rate: int) -> None:
        """What the microphone gave, for the chosen call."""
        call = self.chosen
        if call is not None and call.answered is not None:
            self._command("write_audio", call.info.call_uuid, samples, rate)

    # What a person sees

    @property
    def chosen(self) -> Party | None:
        """The call that commands are for."""
        if self._chosen not in self.parties:
            self._chosen = next(reversed(self.parties), None)
        return self.parties[self._chosen] if self._chosen is not None else None

    @property
    def levels(self) -> AudioLevels:
        call = self.chosen
        if call is None or call.answered is None:
            return AudioLevels()
        try:
            return self.machine.audio_levels(call.info.call_uuid)
        except LocalProtocolError:
            return AudioLevels()  # its media is over

    def measure(self) -> None:
        """Takes a sample of each call's quality: once a second."""
        for name, party in self.parties.items():
            after = self.machine.statistics(name)
            if after is None or not after.packets_received:
                continue
            sample = party.latest = sample_between(party.before, after)
            party.before = after
            if sample.mos is not None:
                party.mos.append(sample.mos)
            if sample.remote_jitter_ms is not None:
                party.jitter.append(sample.remote_jitter_ms)

    def now(self) -> float:
        assert self._driver is not None
        return self._driver.now()

    # What the phone says

    def deliver(self, event: Any) -> None:
        """Give this to the driver."""
        match event:
            case events.AudioReady():
                self._listen(event)
                return
            case events.LogLine():
                self._trace(event.text)
            case events.Login():
                self.status, self.is_ready = "registered", True
            case events.ConnectionChange(state="connected"):
                self.status, self.is_ready = "connected", not self._registers
            case events.ConnectionChange() if self.is_ready:
                self.status, self.is_ready = event.state, False
            case events.LoginFailed():
                self.status, self.is_ready = f"not registered: {event.cause}", False
                self.tell(advice(event) if event.status else event.detail or "no server answers; check --server")
            case events.Logout():
                self.status, self.is_ready = "logged out", False
            case events.Closed():
                self.closed.set()
            case _ if (info := getattr(event, "call_info", None)) is not None:
                self._follow(info, event)
            case _:
                pass
        if not isinstance(event, SILENT):
            self.tell(words(event))
        self.changed()

    def _follow(self, info: CallInfo, event: Any) -> None:
        party = self.parties.get(info.call_uuid)
        if party is None:
            party = self.parties[info.call_uuid] = Party(info, self.now())
        party.info = info
        match event:
            case events.CallAnswered():
                party.answered = self.now()
            case events.MediaConnected():
                self._try("watch_levels", info.call_uuid, True)
            case events.CallHeld():
                party.held = True
            case events.CallResumed():
                party.held = False
            case events.DtmfReceived():
                party.digits += event.tone
            case _ if isinstance(event, ENDS):
                del self.parties[info.call_uuid]
            case _:
                pass

    def _listen(self, event: events.AudioReady) -> None:
        chosen = self.chosen
        for call in event.calls:
            samples = self._command("read_audio", call, self.RATE)
            if chosen is not None and samples is not None and call == chosen.info.call_uuid:
                self.heard(samples)

    def _trace(self, text: str) -> None:
        """A message of SIP, as `set_sip_trace` gives it: who, which way, by what, and then the message."""
        head, _, message = text.partition("\n")
        ways = head.split()
        if len(ways) < 2 or ways[1] not in ("sent", "received") or not message:
            return
        first = message.splitlines()[0]
        number = next((row for row in message.splitlines() if row.lower().startswith("cseq:")), "")
        method = number.split()[-1] if number else ""
        label = f" {first.split()[1]} {method} " if first.startswith("SIP/2.0") else f" {first.split()[0]} "
        arrow = f"{label:─^18}▶" if ways[1] == "sent" else f"◀{label:─^18}"
        self.ladder.append(f"{self._since():8.3f} us {arrow} them")

    def _now(self, what: str) -> CallUuid | None:
        chosen = self.chosen
        if chosen is None:
            self.tell(f"no call to {what}")
            return None
        return chosen.info.call_uuid

    def _try(self, name: str, *args: Any) -> Any:
        """A command whose refusal is told; False then."""
        try:
            return self._give(name, *args)
        except LocalProtocolError as error:
            self.tell(str(error))
            return None if name == "call" else False

    def _command(self, name: str, *args: Any) -> Any:
        """A command whose refusal is of no interest: what it is about has just ended."""
        try:
            return self._give(name, *args)
        except LocalProtocolError:
            return None

    def _give(self, name: str, *args: Any) -> Any:
        assert self._driver is not None
        try:
            return getattr(self.machine, name)(*args, now=self._driver.now())
        finally:
            self._driver.flush()

    def _since(self) -> float:
        return self.now() - self._began if self._driver is not None else 0.0

    def tell(self, text: str) -> None:
        """A line in the log."""
        self.log.append(f"{self._since():8.3f}  {text}")
        self.changed()
