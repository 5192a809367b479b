"""A user agent that registers while its flow comes and goes, its user changes his mind, and answers get lost."""

import copy
from typing import Self

from model.subjects import Timed
from sip.ua_pipe import Node

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation.explore import Exploration, Wire, explore
from sansio_sip.sip.message import Message, Request
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.registration import Registered, RegistrationFailed, Unregistered

__all__ = ["Registering", "explore_registration"]

PHONE, REGISTRAR = Address("192.0.2.1", 5060), Address("192.0.2.9", 5060)


class Registering(Timed):
    """The registrar grants what it is asked for, or says 503; each REGISTER is answered once, when it arrives."""

    def __init__(self, wire: Wire[bytes], *, cuts: int, changes: int) -> None:
        super().__init__()
        self.node = Node("alice", PHONE, 1, REGISTRAR)
        self.wire = wire
        self.cuts = cuts  # how often the flow may be lost
        self.changes = changes  # how often the user may change his mind
        self.up = False
        self.wanted = True
        self.believes = False  # what the user was told last
        self.last = 0  # CSeq of the last REGISTER
        self.falls = False  # whether a CSeq ever fell
        self.node.ua.register(now=self.now)
        self.take_outputs()

    def machines(self) -> tuple[object, ...]:
        return (self.node.ua,)

    def state(self) -> object:
        return (self.node.ua, self.wire, self.up, self.wanted, self.believes, self.cuts, self.changes)

    def fork(self) -> Self:
        return copy.deepcopy(self)

    def moves(self) -> list[str]:
        moves = self.wire.moves()
        moves += [f"refuse{move.removeprefix('deliver')}" for move in moves if move[:7] == "deliver" and "to b" in move]
        if not self.up:
            moves.append("flow up")
        elif self.cuts:
            moves.append("flow lost")
        if self.changes:
            moves.append("change mind")
        if self.due() is not None:
            moves.append("time passes")
        return moves

    def make(self, move: str) -> None:
        ua = self.node.ua
        match move.split():
            case ["time", _]:
                self.let_time_pass()
            case ["flow", "up"]:
                self.up = True
                ua.flow_ready(self.node.hop, now=self.now)
            case ["flow", _]:
                self.up, self.cuts = False, self.cuts - 1
                self.wire.items.clear()
                ua.flow_lost("cut", now=self.now)
            case ["change", _]:
                self.wanted, self.changes = not self.wanted, self.changes - 1
                try:
                    (ua.register if self.wanted else ua.unregister)(now=self.now)
                except LocalProtocolError:
                    self.wanted = not self.wanted
            case ["refuse", *rest]:
                self.arrive(" ".join(["deliver", *rest]), 503)
            case _:
                self.arrive(move, 200)
        self.take_outputs()

    def arrive(self, move: str, status: int) -> None:
        arrived = self.wire.make(move)
        if arrived is None:
            return
        to, data = arrived
        message = parse_message(data)
        if to == "a":
            self.node.ua.receive_message(message, self.node.hop, now=self.now)
        elif isinstance(message, Request):
            self.wire.put("a", bytes(self.answer(message, status)))

    def answer(self, request: Request, status: int) -> Message:
        rows = [("Contact", str(each)) for each in request.contacts] if status == 200 else []
        return request.response(status, to_tag="registrar", headers=rows)

    def take_outputs(self) -> None:
        for data, _ in self.node.take():
            message = parse_message(data)
            self.falls |= message.cseq.number < self.last
            self.last = message.cseq.number
            if self.up:
                self.wire.put("b", data)
        for event in self.node.events:
            if isinstance(event, Registered):
                self.believes = True
            elif isinstance(event, RegistrationFailed | Unregistered):
                self.believes = False
        self.node.events.clear()
        self.node.sent.clear()


def explore_registration(*, cuts: int = 1, changes: int = 1, losses: int = 0, max_depth: int = 6) -> Exploration:
    return explore(
        f"registration, {cuts} flow losses, {changes} changes of mind",
        Registering(Wire(capacity=2, losses=losses), cuts=cuts, changes=changes),
        {
            "CSeq never falls (RFC 3261 section 10.2)": lambda one: not one.falls,
            "nothing is sent without a flow": lambda one: one.up or not one.wire.items,
            "one who wants to be registered is, waits for something, or was told not": lambda one: (
                one.believes or not one.wanted or not one.up or one.due() is not None or one.node.ua.is_idle
            ),
        },
        max_depth=max_depth,
    )
