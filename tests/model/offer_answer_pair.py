"""Two ends that may both offer: the exchange of RFC 3264 with the glare of RFC 3261 section 14."""

import copy
from typing import Self

from sdp.ends import rtp_end

from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.offer_answer import Negotiated, NegotiationError, OfferAnswer, State
from sansio_sip.simulation.explore import EPOCH, Exploration, Wire, explore

__all__ = ["OfferAnswerPair", "explore_glare"]

DIRECTIONS = ("sendrecv", "sendonly")
MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class OfferAnswerPair:
    """Each end may offer `offers` times, alternating hold and resume. Transactions carry what is said, in any order."""

    def __init__(self, offers: int, capacity: int) -> None:
        self.now = EPOCH
        self.ends = {"a": OfferAnswer(1), "b": OfferAnswer(2)}
        self.left = {"a": offers, "b": offers}
        self.wire: Wire[tuple[str, SessionDescription | None]] = Wire(capacity=capacity)
        self.agreed: dict[str, Negotiated] = {}
        self.exchanges = 0
        self.glares = 0
        # The first exchange is over; what follows are re-offers.
        offer = self.ends["a"].create_offer(rtp_end())
        answer, self.agreed["b"] = self.ends["b"].accept_offer(offer, rtp_end(port=5000))
        self.agreed["a"] = self.ends["a"].accept_answer(answer)

    def state(self) -> object:
        return (self.ends, self.left, self.wire, self.agreed)

    def fork(self) -> Self:
        return copy.deepcopy(self)

    def moves(self) -> list[str]:
        free = [name for name, end in self.ends.items() if end.state is State.STABLE and self.left[name]]
        return [*self.wire.moves(), *(f"offer by {name}" for name in free)]

    def make(self, move: str) -> None:
        if move.startswith("offer"):
            name = move[-1]
            self.left[name] -= 1
            local = rtp_end(DIRECTIONS[self.left[name] % 2], port=4000 if name == "a" else 5000)
            self.wire.put(_other(name), ("offer", self.ends[name].create_offer(local)))
            return
        arrived = self.wire.make(move)
        if arrived is not None:
            to, (kind, description) = arrived
            self.take(to, kind, description)

    def take(self, to: str, kind: str, description: SessionDescription | None) -> None:
        end = self.ends[to]
        if kind == "491":
            end.rollback()
            self.glares += 1
        elif kind == "answer":
            assert description is not None
            self.agreed[to] = end.accept_answer(description)
            self.exchanges += 1
        else:
            assert description is not None
            try:
                answer, self.agreed[to] = end.accept_offer(description, rtp_end(port=4000 if to == "a" else 5000))
            except NegotiationError as error:
                self.wire.put(_other(to), (str(error.status), None))
            else:
                self.wire.put(_other(to), ("answer", answer))

    def agree(self) -> bool:
        a, b = self.agreed["a"], self.agreed["b"]
        return (
            MIRRORED[a.direction] == b.direction
            and [codec.name for codec in a.codecs] == [codec.name for codec in b.codecs]
            and {codec.payload_type for codec in a.codecs} <= set(b.receive_payload_types)
            and {codec.payload_type for codec in b.codecs} <= set(a.receive_payload_types)
        )


def _other(name: str) -> str:
    return "b" if name == "a" else "a"


def explore_glare(offers: int = 2) -> Exploration:
    return explore(
        f"offer/answer with glare, {offers} re-offers each",
        OfferAnswerPair(offers, capacity=4),
        {
            "no end answers while its own offer is open": lambda one: all(
                end.state is not State.HAVE_REMOTE_OFFER for end in one.ends.values()
            ),
            "at most four messages are on the way": lambda one: len(one.wire.items) < 4,
        },
        {
            "both ends are stable": lambda one: all(end.state is State.STABLE for end in one.ends.values()),
            "both see the same session, mirrored": OfferAnswerPair.agree,
        },
    )
