"""Bounded model checking of pairs of machines, and of the explorer itself. `make model` goes further."""

import copy
from typing import Self

import pytest
from model.ice_conflict import explore_conflict
from model.offer_answer_pair import OfferAnswerPair, explore_glare
from model.registration import explore_registration
from model.transaction_pair import explore_pair

from sansio_sip.simulation.explore import EPOCH, Violation, Wire, canonical, explore

SMALL = 250  # states: seconds


@pytest.mark.parametrize(
    ("method", "answers", "capacity", "losses", "doubles", "cancels"),
    [
        pytest.param("OPTIONS", (200,), 1, 1, 1, False, id="non-INVITE"),
        pytest.param("INVITE", (180, 200), 1, 1, 0, False, id="INVITE"),
        pytest.param("INVITE", (486,), 1, 0, 1, False, id="refused INVITE"),
        pytest.param("INVITE", (180, 200), 2, 0, 0, True, id="CANCEL against 200"),
    ],
)
def test_transaction_pairs(
    method: str, answers: tuple[int, ...], capacity: int, losses: int, doubles: int, cancels: bool
) -> None:
    done = explore_pair(
        method, method, answers, capacity=capacity, losses=losses, doubles=doubles, cancels=cancels, max_states=SMALL
    )
    print(done)
    assert done.states == SMALL


def test_offer_answer_with_glare() -> None:
    done = explore_glare(1)
    print(done)
    assert (done.states, done.complete, done.final) == (30, True, 2)


@pytest.mark.parametrize("controlling", [True, False])
def test_ice_role_conflict(controlling: bool) -> None:
    done = explore_conflict(controlling, max_depth=4)
    print(done)
    assert done.states > 50


def test_registration_with_flow_loss() -> None:
    done = explore_registration(max_depth=4)
    print(done)
    assert done.states > 40


class Deaf(OfferAnswerPair):
    """Does not hear that its offer was refused: what the explorer must find."""

    def take(self, to: str, kind: str, description: object) -> None:
        if kind != "491":
            super().take(to, kind, description)  # type: ignore[arg-type]


def test_a_machine_that_is_wrong_is_found_by_the_shortest_way() -> None:
    with pytest.raises(Violation) as caught:
        explore(
            "deaf",
            Deaf(1, 4),
            {},
            {"both are stable": lambda one: all(e.state.name == "STABLE" for e in one.ends.values())},
        )
    assert {"offer by a", "offer by b"} < set(caught.value.path)
    assert len(caught.value.path) == 6


class Lamp:
    """Two bits and a clock that runs."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.bits = [False, False]

    def moves(self) -> list[str]:
        return [] if all(self.bits) else ["0", "1"]

    def make(self, move: str) -> None:
        self.now += 1.0
        self.bits[int(move)] ^= True

    def state(self) -> object:
        return (self.bits, self.now + 5.0)

    def fork(self) -> Self:
        return copy.deepcopy(self)


def test_equal_states_are_one_whatever_the_time() -> None:
    done = explore("lamp", Lamp(), {})
    assert (done.states, done.transitions, done.final, done.depth, done.complete) == (4, 6, 1, 2, True)
    assert not explore("lamp", Lamp(), {}, max_states=3).complete
    assert not explore("lamp", Lamp(), {}, max_depth=1).complete
    with pytest.raises(Violation, match="dark, after 0 > 1"):
        explore("lamp", Lamp(), {}, {"dark": lambda one: not all(one.bits)})
    with pytest.raises(Violation, match="dark, after 0"):
        explore("lamp", Lamp(), {"dark": lambda one: not any(one.bits)})


def test_a_wire_loses_and_doubles_within_its_budget() -> None:
    wire: Wire[str] = Wire(capacity=2, losses=1, doubles=1)
    for item in ("x", "x", "lost"):
        wire.put("a", item)
    assert wire.moves() == ["deliver 0 to a", "lose 0 to a", "double 0 to a"]
    assert wire.make("double 0 to a") == ("a", "x")
    assert wire.make("lose 0 to a") is None
    assert wire.moves() == ["deliver 0 to a"]
    assert canonical({"now": EPOCH + 2, "n": 2.0}, EPOCH) == (("now", 2.0), ("n", 2.0))
