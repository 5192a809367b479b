"""Two phones and a server under any commands, any weather and any packets, in any order.

Nothing raises but `LocalProtocolError` from a command; no input makes more than a bounded number of outputs; each call
that begins at an end has exactly one end there; when all is closed, no timer and no socket is left; and what was
recorded of it runs again without a difference.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from simulation.phones import ENDS as ENDS_OF_CALLS
from simulation.phones import SIP_UDP, SIP_WS, Network, Phone, build, tone

from sansio_sip.effects import Address, SendDatagram, SendStream
from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation import Host, Link, World
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.trace import TraceWriter, replay
from sansio_sip_media.arrays import rebuild_array

# Outputs of one input. The longest answer to one is `close` with several calls: for each a BYE, an event, RTCP and DTLS
# farewells and its sockets.
MAX_OUTPUTS = 60

MAX_CALLS = 3  # of a phone, so that an example stays short

# What was sent is kept for a while, to be sent again by somebody.
MAX_KEPT = 200

STRANGER = Address("203.0.113.7", 4000)

LINKS = (Link(delay=0.020), Link(delay=0.020, jitter=0.050, loss=0.3, duplication=0.2, reordering=0.2))

NAMES = st.sampled_from(["alice", "bob"])
ENDS = st.sampled_from([("alice", "bob"), ("alice", "server"), ("bob", "server")])
CALL_COMMANDS = ["answer", "reject", "ignore", "hangup", "mute", "unmute", "hold", "resume", "send_dtmf"]


class WatchedWorld(World):
    """Counts the outputs of each input, and keeps what was sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wire: list[bytes] = []

    def _perform(self, host: Host, effect: Any) -> None:
        if isinstance(effect, SendDatagram | SendStream):
            self.wire = [*self.wire[-MAX_KEPT:], bytes(effect.data)]
        super()._perform(host, effect)

    def _drain(self, host: Host) -> None:
        made = len(host.machine._outbox)  # type: ignore[attr-defined]
        assert made <= MAX_OUTPUTS, f"{host.name} has made {made} outputs of one input"
        super()._drain(host)


class PhonePair(RuleBasedStateMachine):
    @initialize(
        seed=st.integers(0, 10_000),
        link=st.sampled_from(LINKS),
        sip=st.sampled_from([SIP_UDP, SIP_WS]),
        profile=st.sampled_from([MediaProfile.RTP, MediaProfile.RTP, MediaProfile.WEBRTC]),
        logged_in=st.sampled_from([True, True, True, False]),
    )
    def begin(self, seed: int, link: Link, sip: str, profile: MediaProfile, logged_in: bool) -> None:
        self.lines: list[str] = []
        trace = TraceWriter(self.lines.append, full=True)
        self.network = Network(seed, link=link, sip=sip, world=WatchedWorld, trace=trace)
        self.world = self.network.world
        self.phones = {name: self.network.phone(name, profile) for name in ("alice", "bob")}
        self.known: list[Any] = []
        if logged_in:
            for phone in self.phones.values():
                self.command(phone, phone.machine.login, phone.account)
            self.network.pass_time(3.0)

    def command(self, phone: Phone, method: Any, *args: Any, **kwargs: Any) -> Any:
        """Gives a command: it is done, or refused before it has changed anything."""
        outputs = len(self.world.log)
        try:
            return phone.do(method, *args, **kwargs)
        except LocalProtocolError:
            assert len(self.world.log) == outputs, "a command that was refused has said something"
            return None

    # Commands

    @rule(name=NAMES, what=st.sampled_from(["login", "login", "logout", "connect"]))
    def use_account(self, name: str, what: str) -> None:
        phone = self.phones[name]
        self.command(phone, getattr(phone.machine, what), phone.account)

    @rule(name=NAMES, callee=st.sampled_from(["alice", "bob", "bob", "carol", "nobody", "sip:bob@10.0.0.2"]))
    def call(self, name: str, callee: str) -> None:
        phone = self.phones[name]
        if len(phone.calls) < MAX_CALLS and (call := self.command(phone, phone.machine.call, phone.account, callee)):
            self.known.append(call)

    @rule(name=NAMES, what=st.sampled_from(CALL_COMMANDS), which=st.integers(0, 5))
    def use_call(self, name: str, what: str, which: int) -> None:
        """On a call that is up, on one that is over, on one of the other end."""
        phone = self.phones[name]
        calls = phone.calls or self.known
        if calls:
            more = ("1234#",) if what == "send_dtmf" else ()
            self.command(phone, getattr(phone.machine, what), calls[which % len(calls)], *more)

    @precondition(lambda self: not any(phone.calls for phone in self.phones.values()))
    @rule(name=NAMES)
    def meet(self, name: str) -> None:
        """A call as it should be: by chance alone few would come so far."""
        caller = self.phones[name]
        callee = self.phones["bob" if name == "alice" else "alice"]
        if (call := self.command(caller, caller.machine.call, caller.account, callee.name)) is None:
            return
        self.known.append(call)
        if self.network.wait(lambda: bool(callee.calls), 3.0):
            self.command(callee, callee.machine.answer, callee.calls[0])
            self.network.wait(lambda: caller.has_media and callee.has_media, 3.0)
            event("a call was answered")

    @precondition(lambda self: any(phone.calls for phone in self.phones.values()))
    @rule(name=NAMES)
    def talk(self, name: str) -> None:
        phone = self.phones[name]
        for call in phone.calls:
            self.command(phone, phone.machine.write_audio, call, tone(440, 0.5), 8000)

    # Time and weather

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.5, 0.5, 2.0]))
    def wait(self, seconds: float) -> None:
        self.network.pass_time(seconds)

    @precondition(lambda self: not any(phone.has_media for phone in self.phones.values()))
    @rule(seconds=st.sampled_from([10.0, 33.0, 130.0]))
    def wait_long(self, seconds: float) -> None:
        self.network.pass_time(seconds)

    @rule(ends=ENDS, cut=st.booleans())
    def cut_or_mend(self, ends: tuple[str, str], cut: bool) -> None:
        self.world.cut(*ends, cut=cut)

    @rule(name=st.sampled_from(["alice", "bob", "server"]))
    def break_streams(self, name: str) -> None:
        self.world.break_streams(name)

    @rule(name=NAMES, which=st.integers(0, 5))
    def lose_socket(self, name: str, which: int) -> None:
        host = self.world.hosts[name]
        if host.datagrams:
            flow = sorted(host.datagrams)[which % len(host.datagrams)]
            self.world._bound.pop(host.datagrams.pop(flow))
            self.world.do(name, host.machine.flow_lost, flow, "the interface has gone")

    # Strangers

    def octets(self, data: st.DataObject) -> bytes:
        """What was on the wire, perhaps damaged; or anything."""
        assert isinstance(self.world, WatchedWorld)
        if not self.world.wire or data.draw(st.integers(0, 3)) == 0:
            return data.draw(st.binary(max_size=64))
        octets = bytearray(self.world.wire[-1 - data.draw(st.integers(0, MAX_KEPT)) % len(self.world.wire)])
        for _ in range(data.draw(st.integers(0, 2))):
            place = data.draw(st.integers(0, 4000)) % max(1, len(octets))
            octets[place : place + 1] = data.draw(st.binary(max_size=2))
        return bytes(octets)

    @rule(data=st.data(), which=st.integers(0, 20), source=st.integers(0, 20))
    def inject(self, data: st.DataObject, which: int, source: int) -> None:
        bound = sorted(self.world._bound)
        if bound:
            sources = [STRANGER, *bound]
            self.world.inject(bound[which % len(bound)], self.octets(data), sources[source % len(sources)])

    @rule(data=st.data(), name=st.sampled_from(["alice", "bob", "server"]))
    def inject_into_stream(self, data: st.DataObject, name: str) -> None:
        host = self.world.hosts[name]
        for flow in sorted(flow for flow, stream in host.streams.items() if stream.open)[:1]:
            self.world.do(name, host.machine.receive_stream, flow, self.octets(data))

    def teardown(self) -> None:
        if hasattr(self, "network"):
            self.network.close()
            self.run_again()
            for kind in ENDS_OF_CALLS:
                if any(phone.said(kind) for phone in self.phones.values()):
                    event(f"a call ended by {kind.__name__}")

    def run_again(self) -> None:
        """The trace of whatever it was runs again, and says the same."""
        report = replay(self.lines, build, array=rebuild_array)
        assert not report.different, report.differences[:3]
        assert report.inputs > 3


TestPhonePair = PhonePair.TestCase
TestPhonePair.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


class LongPhonePair(PhonePair):
    """The same for longer."""


TestPhonePairForLong = pytest.mark.soak(LongPhonePair.TestCase)
TestPhonePairForLong.settings = settings(
    max_examples=400, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
