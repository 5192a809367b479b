"""What the explorations have in common: machines that share messages, a clock that jumps to the next deadline."""

import copy
from typing import Any, Self

from sansio_sip.effects import Address, FlowId
from sansio_sip.simulation.explore import EPOCH
from sansio_sip.sip.message import Message, Request
from sansio_sip.sip.transactions import RFC_TIMING, invite_client, invite_server, non_invite_client, non_invite_server
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri

__all__ = ["HOPS", "Timed", "request"]

ADDRESSES = {"a": Address("192.0.2.1", 5060), "b": Address("192.0.2.2", 5060)}
HOPS = {name: Hop("UDP", ADDRESSES["b" if name == "a" else "a"], ADDRESSES[name], FlowId(name)) for name in ADDRESSES}

SHARED = (
    RFC_TIMING,
    invite_client.TRANSITIONS,
    invite_server.TRANSITIONS,
    non_invite_client.TRANSITIONS,
    non_invite_server.TRANSITIONS,
    *HOPS.values(),
)


class Timed:
    """Machines under one clock. `messages` are shared by all copies, for nobody changes one."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.messages: list[Message] = []

    def machines(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def take_outputs(self) -> None:
        raise NotImplementedError

    def state(self) -> object:
        return {name: value for name, value in vars(self).items() if name not in ("now", "messages")}

    def fork(self) -> Self:
        return copy.deepcopy(self, {id(each): each for each in (*SHARED, *self.messages)})

    def share(self, message: Message) -> None:
        self.messages = [*self.messages[-40:], message]

    def due(self) -> float | None:
        return min((due for each in self.machines() if (due := each.next_timeout()) is not None), default=None)

    def let_time_pass(self) -> None:
        """To the next deadline of any machine; those that are due at the same moment fire together."""
        due = self.due()
        assert due is not None
        self.now = max(self.now, due)
        for machine in self.machines():
            machine.handle_timeout(now=self.now)


def request(method: str) -> Request:
    rows = [
        ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKmodel;rport"),
        ("From", "<sip:a@example.com>;tag=a"),
        ("To", "<sip:b@example.com>"),
        ("Call-ID", "model"),
        ("CSeq", f"1 {method}"),
        ("Max-Forwards", "70"),
        ("Contact", "<sip:a@192.0.2.1>"),
    ]
    return Request(method, SipUri("192.0.2.2", "b"), rows)
