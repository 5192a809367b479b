"""Three far ends in one conference of a phone: each hears the two others, and nobody himself."""

import numpy as np
import numpy.typing as npt
import pytest
from softphone.phones import Phone, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import CallUuid, events

RATE = 8_000
TONES = {"bob": 500.0, "carol": 800.0, "dave": 1_100.0}


def tones_in(samples: npt.NDArray[np.int16]) -> set[float]:
    """Which of the three are to be heard."""
    window = samples.astype(np.float64) * np.hanning(len(samples))
    found = set()
    for tone in TONES.values():
        turn = np.exp(-2j * np.pi * tone * np.arange(len(samples)) / RATE)
        if abs(window @ turn) / (0.25 * len(samples)) > 200:
            found.add(tone)
    return found


class Room:
    """Alice has called the three, and each of them says a tone of his own."""

    def __init__(self) -> None:
        self.scene = scene = Scene()
        (self.alice,) = scene.logged_in("alice")
        self.others: dict[str, Phone] = {}
        self.calls: dict[str, CallUuid] = {}
        for name in TONES:
            (other,) = scene.logged_in(name)
            mine, _ = scene.established(self.alice, other)
            self.others[name], self.calls[name] = other, mine
        self._said = 0

    def join(self, *names: str) -> None:
        self.alice.do(self.alice.machine.join, tuple(self.calls[name] for name in names))

    def hear(self, seconds: float = 1.0) -> dict[str, set[float]]:
        """What each hears after a second of settling."""
        for _ in range(round((1.0 + seconds) / 0.1)):
            for name, phone in self.others.items():
                at = np.arange(self._said, self._said + 800) / RATE
                samples = np.rint(6_000 * np.sin(2 * np.pi * TONES[name] * at)).astype(np.int16)
                if phone.machine.calls():
                    phone.do(phone.machine.write_audio, phone.only_call, samples, RATE)
            self._said += 800
            self.scene.wait(0.1)
        return {
            name: tones_in(phone.do(phone.machine.read_audio, phone.only_call, RATE)[-int(seconds * RATE) :])
            for name, phone in self.others.items()
            if phone.machine.calls()
        }


def test_each_hears_all_others_until_he_leaves() -> None:
    room = Room()
    assert room.hear() == {"bob": set(), "carol": set(), "dave": set()}
    room.join("bob", "carol", "dave")
    assert room.hear() == {"bob": {800.0, 1_100.0}, "carol": {500.0, 1_100.0}, "dave": {500.0, 800.0}}
    room.join("dave", "dave")
    assert room.hear() == {"bob": {800.0}, "carol": {500.0}, "dave": set()}
    room.others["carol"].do(room.others["carol"].machine.hangup, room.others["carol"].only_call)
    assert room.hear() == {"bob": set(), "dave": set()}
    room.join("bob", "dave")
    assert room.hear() == {"bob": {1_100.0}, "dave": {500.0}}


def test_who_joins_hears_what_the_program_says_together_with_the_others() -> None:
    room = Room()
    room.join("bob", "carol")
    alice = room.alice
    said = (6_000 * np.sin(2 * np.pi * 1_100 * np.arange(3 * RATE) / RATE)).astype(np.int16)
    alice.do(alice.machine.write_audio, room.calls["bob"], said, RATE)
    heard = room.hear()
    assert heard["bob"] == {800.0, 1_100.0}
    assert heard["carol"] == {500.0}


def test_a_call_without_audio_cannot_join() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    alice.call(bob.uri)
    scene.wait(1.0)
    (ringing,) = [event.call for event in bob.events(events.IncomingCall)]
    with pytest.raises(LocalProtocolError, match="join calls"):
        bob.do(bob.machine.join, (ringing,))
