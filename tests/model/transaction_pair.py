"""A client and a server transaction, and their users, joined by a network that may do anything."""

from model.subjects import HOPS, Timed, request

from sansio_sip.context import Context, Entropy
from sansio_sip.simulation.explore import Exploration, Wire, explore
from sansio_sip.sip.message import Message, Request
from sansio_sip.sip.transactions import (
    RFC_TIMING,
    Acknowledged,
    Failed,
    RequestReceived,
    ResponseReceived,
    SendMessage,
    StrayResponse,
    Terminated,
    TransactionId,
    TransactionLayer,
)

__all__ = ["TransactionPair", "explore_pair"]


class TransactionPair(Timed):
    """End `a` has sent a request. The user of `b` answers as `answers` lists, each once; that of `a` may cancel."""

    def __init__(
        self, method: str, answers: tuple[int, ...], wire: Wire[tuple[Message, float]], *, cancels: bool = False
    ) -> None:
        super().__init__()
        self.layers = {name: TransactionLayer(Context(Entropy(_NoDraws()))) for name in "ab"}
        self.wire = wire
        self.answers = answers
        self.cancels = cancels
        self.canceled = False
        self.invite: TransactionId | None = None  # at b
        self.begun = 0  # how often b's user was told of the request
        self.sent: tuple[int, ...] = ()  # final responses of b's user to it
        self.finals: tuple[int, ...] = ()  # those that a's user saw, once each
        self.failed = self.terminated = 0
        self.after_the_end = False
        self.transaction = self.layers["a"].request(request(method), HOPS["a"], now=self.now)
        self.take_outputs()

    def machines(self) -> tuple[TransactionLayer, ...]:
        return tuple(self.layers.values())

    def moves(self) -> list[str]:
        moves = self.wire.moves()
        if self.invite is not None and not self.sent:
            moves += [f"answer {status}" for status in self.answers]
        if self.due() is not None:
            moves.append("time passes")
        # A callee may ring for ever, as far as transactions go: nobody but the caller ends that.
        if not self.canceled and not self.terminated and (self.cancels or not moves):
            moves.append("cancel")
        return moves

    def make(self, move: str) -> None:
        match move.split():
            case ["time", _]:
                self.let_time_pass()
                # RFC 3261 table 4: T4 is the "maximum duration a message will remain in the network". The transactions
                # count on that: a request that comes when its transaction is forgotten begins another.
                items = self.wire.items
                self.wire.items = [each for each in items if self.now - each[1][1] <= RFC_TIMING.t4]
            case ["cancel"]:
                self.canceled = True
                self.layers["a"].cancel(self.transaction, now=self.now)
            case ["answer", status]:
                self.answers = tuple(each for each in self.answers if each != int(status))
                self.answer(int(status))
            case _:
                arrived = self.wire.make(move)
                if arrived is not None:
                    to, (message, _) = arrived
                    self.layers[to].receive(message, HOPS[to], now=self.now)
        self.take_outputs()

    def answer(self, status: int) -> None:
        assert self.invite is not None
        layer = self.layers["b"]
        if status >= 200:
            self.sent = (*self.sent, status)
        response = self.request_at_b.response(status, to_tag="b")
        self.share(response)
        layer.respond(self.invite, response, now=self.now)

    def take_outputs(self) -> None:
        busy = True
        while busy:
            busy = False
            for name, layer in self.layers.items():
                for output in layer.outputs():
                    busy = True
                    match output:
                        case SendMessage(message):
                            self.share(message)
                            self.wire.put("b" if name == "a" else "a", (message, self.now))
                        case RequestReceived(transaction, received) if name == "b":
                            self.on_request(transaction, received)
                        case ResponseReceived(_, response):
                            self.on_response(response.status, transaction=output.transaction)
                        case Failed() if name == "a":
                            self.failed += 1
                        case Terminated() if name == "a":
                            self.terminated += 1
                        case StrayResponse() | Acknowledged() | Failed() | Terminated() | RequestReceived():
                            pass

    def on_request(self, transaction: TransactionId | None, received: Request) -> None:
        if transaction is None:
            return  # an ACK to what b has forgotten
        if received.method == "CANCEL":
            self.layers["b"].respond(transaction, received.response(200, to_tag="b"), now=self.now)
            if self.layers["b"].invite_of(transaction) is not None and not self.sent:
                self.answer(487)
            return
        self.begun += 1
        if self.begun == 1:
            self.share(received)
            self.request_at_b, self.invite = received, transaction
        else:
            # A copy that came when the transaction was over: Timer L is no longer than the client's patience (RFC 6026
            # section 7.1), so the last copy may. Nobody waits for the answer any more.
            self.layers["b"].respond(transaction, received.response(480, to_tag="late"), now=self.now)

    def on_response(self, status: int, transaction: TransactionId) -> None:
        self.after_the_end |= bool(self.terminated or self.failed) or transaction != self.transaction
        if status >= 200 and not (status < 300 and status in self.finals):
            self.finals = (*self.finals, status)


class _NoDraws:
    def getrandbits(self, k: int, /) -> int:
        raise AssertionError("a transaction layer draws nothing")


def explore_pair(
    name: str,
    method: str,
    answers: tuple[int, ...],
    *,
    capacity: int,
    losses: int,
    doubles: int,
    cancels: bool = False,
    max_states: int = 100_000,
    max_depth: int = 1000,
) -> Exploration:
    pair = TransactionPair(method, answers, Wire(capacity=capacity, losses=losses, doubles=doubles), cancels=cancels)
    return explore(
        name,
        pair,
        {
            "the client's user sees one final response at most": lambda one: len(one.finals) <= 1,
            "and none that the server's user did not give": lambda one: set(one.finals) <= set(one.sent),
            "the server's user gives one final response at most": lambda one: len(one.sent) <= 1,
            "a failure is told once, and only without a final response": (
                lambda one: one.failed <= 1 and not (one.failed and one.finals)
            ),
            "the end is told once, and nothing is told after it": (
                lambda one: one.terminated <= 1 and not one.after_the_end
            ),
            "three transactions at an end at the most": lambda one: all(len(each) <= 3 for each in one.machines()),
        },
        {
            "both ends have forgotten all": lambda one: not any(map(len, one.machines())),
            "the client's user knows how it ended": lambda one: len(one.finals) + one.failed == 1,
            "no transaction failed without cause": lambda one: one.terminated == 1,
        },
        max_states=max_states,
        max_depth=max_depth,
    )
