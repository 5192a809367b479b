"""Two clients under any commands in any order: nothing raises, every call ends once, and what is told agrees."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from softphone.phones import PBX, USERS, ClientPhone, Scene

from sansio_sip.softphone import events

ENDS = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled)
WHICH = st.integers(0, 1)
ACTIONS = st.sampled_from(["reject", "ignored", "letring", "nonsense"])


class Commands(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 3), server=st.sampled_from([f"ws://{PBX}:8080", f"tcp://{PBX}", f"udp://{PBX}"]))
    def start(self, seed: int, server: str) -> None:
        self.scene = Scene(seed)
        self.clients = [
            self.scene.client(user, server, allow_multiple_incoming_calls=True) for user in ("alice", "bob", "carol")
        ]
        for client, user in zip(self.clients, ("alice", "bob", "carol"), strict=True):
            client.login(user, USERS[user])
        self.scene.wait(0.5)

    def uuid(self, client: ClientPhone, which: int) -> str | None:
        """None, one that is unknown, or one of the calls that have been told of."""
        calls = [event.call for event in client.events(events.IncomingCall)]
        return [None, "unknown", *calls][which % (len(calls) + 2)]

    def boolean(self, value: Any) -> None:
        assert isinstance(value, bool)

    @rule(who=WHICH, user=st.sampled_from(["alice", "bob", ""]), good=st.booleans())
    def login(self, who: int, user: str, good: bool) -> None:
        self.boolean(self.clients[who].login(user, USERS.get(user, "x") if good else "guess"))

    @rule(who=WHICH)
    def logout(self, who: int) -> None:
        self.boolean(self.clients[who].logout())

    @rule(who=WHICH, callee=st.sampled_from(["alice", "bob", "nobody", ""]))
    def call(self, who: int, callee: str) -> None:
        self.boolean(self.clients[who].call(callee, {"X-PH-A": "1", "bad": "x"}))

    @rule(callee=st.sampled_from(["alice", "bob"]))
    def third_party_calls(self, callee: str) -> None:
        self.boolean(self.clients[2].hangup())
        self.boolean(self.clients[2].call(callee))

    @rule(who=WHICH, which=st.integers(0, 9), action=ACTIONS)
    def answer(self, who: int, which: int, action: str) -> None:
        client = self.clients[who]
        self.boolean(client.answer(self.uuid(client, which), action))

    @rule(who=WHICH, which=st.integers(0, 9), name=st.sampled_from(["reject", "ignore"]))
    def refuse(self, who: int, which: int, name: str) -> None:
        client = self.clients[who]
        self.boolean(getattr(client, name)(self.uuid(client, which)))

    @rule(who=WHICH, name=st.sampled_from(["hangup", "mute", "unmute"]))
    def command(self, who: int, name: str) -> None:
        self.boolean(getattr(self.clients[who], name)())

    @rule(who=WHICH, digit=st.sampled_from(["1", "#", "x", 7]))
    def send_dtmf(self, who: int, digit: Any) -> None:
        assert self.clients[who].send_dtmf(digit) is None

    @rule(who=WHICH)
    def the_network_breaks(self, who: int) -> None:
        self.scene.world.break_streams(self.clients[who].name)

    @rule(seconds=st.sampled_from([0.0, 0.03, 0.1, 0.5, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.wait(seconds)

    @invariant()
    def agrees(self) -> None:
        for client in getattr(self, "clients", []):
            phone = client.machine._phone
            up = {info.call_uuid for info in phone.calls()}
            active = client.get_call_uuid()
            assert active is None or active in up
            assert set(client.machine._ringing) <= up
            ended = [event.call for event in client.events() if isinstance(event, ENDS)]
            assert len(ended) == len(set(ended))
            assert not up & set(ended)
            assert client.is_registered() <= client.is_connected()

    def teardown(self) -> None:
        for client in getattr(self, "clients", []):
            client.close()
        if hasattr(self, "scene"):
            self.scene.wait(5.0)
        for client in getattr(self, "clients", []):
            begun = {event.call for event in client.events(events.Calling, events.IncomingCall)}
            ended = [event.call for event in client.events() if isinstance(event, ENDS)]
            assert sorted(ended) == sorted(begun)
            assert client.names()[-1] == "closed"
            assert client.machine.next_timeout() is None


Commands.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCommands = Commands.TestCase
