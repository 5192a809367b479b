"""User agents are values: a copy made at any moment goes the same way as the original, and disturbs it not."""

import copy
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from sip.ua_pipe import ALICE, ANSWER, BOB, OFFER, Node

from sansio_sip.context import Context, Entropy
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.call_events import CallId, IncomingCall
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri

STEPS = st.lists(
    st.sampled_from(["call", "answer", "reject", "hang up", "reoffer", "deliver", "lose", "wait", "wait long"]),
    max_size=14,
)


class Both:
    """Two user agents and the datagrams between them; nothing in it is shared with a copy."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.nodes = (Node("alice", ALICE, seed), Node("bob", BOB, seed))
        for node in self.nodes:
            node.ua.flow_ready(node.hop, now=0.0)
        self.on_the_way: list[tuple[int, bytes]] = []
        self.calls: list[tuple[int, CallId]] = []
        self.history: list[object] = []

    def take(self, step: str) -> None:
        try:
            self._take(step)
        except LocalProtocolError as error:
            self.history.append(str(error))
        for index, node in enumerate(self.nodes):
            seen = len(node.events)
            for data, _ in node.take():
                self.on_the_way.append((1 - index, data))
                self.history.append(data)
            for event in node.events[seen:]:
                self.history.append(event)
                if isinstance(event, IncomingCall):
                    self.calls.append((index, event.call))

    def _take(self, step: str) -> None:
        ua = self.nodes[0].ua
        match step:
            case "call":
                self.calls.append((0, ua.invite(SipUri(BOB.host, "bob", port=BOB.port), OFFER, now=self.now)))
            case "answer" | "reject" | "hang up" | "reoffer" if self.calls:
                index, call = self.calls[-1]
                ua = self.nodes[index].ua
                if step == "answer":
                    ua.answer(call, ANSWER, now=self.now)
                elif step == "reoffer":
                    ua.reoffer(call, OFFER, now=self.now)
                else:
                    (ua.reject if step == "reject" else ua.hangup)(call, now=self.now)
            case "deliver" if self.on_the_way:
                index, data = self.on_the_way.pop(0)
                node, other = self.nodes[index], self.nodes[1 - index]
                hop = Hop("UDP", other.address, node.address, node.hop.flow)
                node.ua.receive_message(parse_message(data), hop, now=self.now)
            case "lose" if self.on_the_way:
                self.on_the_way.pop(0)
            case "wait" | "wait long":
                self.now += 0.6 if step == "wait" else 40.0
                for node in self.nodes:
                    node.ua.handle_timeout(now=self.now)
            case _:
                pass


@given(seed=st.integers(0, 99), before=STEPS, after=STEPS, elsewhere=STEPS)
@settings(max_examples=60, deadline=None)
def test_a_copy_goes_the_same_way(seed: int, before: list[str], after: list[str], elsewhere: list[str]) -> None:
    original = Both(seed)
    for step in before:
        original.take(step)
    fork, astray = copy.deepcopy(original), copy.deepcopy(original)
    for step in elsewhere:
        astray.take(step)
    for step in after:
        original.take(step)
    for step in after:
        fork.take(step)
    assert fork.history == original.history


def test_a_copied_source_of_draws_is_its_own() -> None:
    context = Context(Entropy(Random(1)))
    fork = copy.deepcopy(context)
    assert [context.entropy.tag() for _ in range(3)] == [fork.entropy.tag() for _ in range(3)]
