"""Hold where the far end refuses, or makes offers and answers that nobody can take: the call stays as it was."""

from collections.abc import Callable, Iterable

import pytest
from conformance.peers_in_a_world import Faulty
from softphone.phones import PBX, Phone, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.softphone import CallUuid, events

HOLD_EVENTS = (events.CallHeld, events.CallResumed, events.HoldFailed, events.RemoteHold, events.RemoteResumed)

Change = Callable[[Message], object]


def told(phone: Phone) -> list[str]:
    return [event.name.removeprefix("on") for event in phone.events(*HOLD_EVENTS)]  # type: ignore[attr-defined]


class Spoilt:
    """A call of alice's to bob, of whose messages about later offers `change` makes something else."""

    def __init__(self, change: Change, *, requests: bool) -> None:
        self.scene = Scene()
        self.alice, self.bob = self.scene.logged_in("alice", "bob", server=f"udp://{PBX}")
        self.mine, self.theirs = self.scene.established(self.alice, self.bob)
        self.change: Change | None = change
        self._requests = requests
        host = self.scene.world.hosts[self.bob.name]
        host.machine = Faulty(host.machine, self._spoil)  # type: ignore[assignment]  # the rest is the machine's

    def _spoil(self, message: Message) -> Iterable[Message]:
        wanted = Request if self._requests else Response
        final = not isinstance(message, Response) or message.status >= 200
        if self.change is not None and isinstance(message, wanted) and message.cseq.method == "INVITE" and final:
            self.change(message)
        return [message]

    def hold(self, phone: Phone, call: CallUuid) -> None:
        phone.do(phone.machine.hold, call)
        self.scene.wait(2.0)

    def still_talks(self) -> bool:
        before = self.alice.machine.statistics(self.mine)
        self.scene.wait(1.0)
        after = self.alice.machine.statistics(self.mine)
        assert before is not None
        assert after is not None
        return after.packets_received > before.packets_received + 40 and after.packets_sent > before.packets_sent + 40


def refused(message: Message) -> None:
    assert isinstance(message, Response)
    message.status, message.reason, message.body = 488, "No", b""
    message.headers.remove("Content-Type")


def nothing(message: Message) -> None:
    message.body = b""
    message.headers.remove("Content-Type")


def garbage(message: Message) -> None:
    message.body = b"v=0\r\nthis is no description\r\n"


def no_audio(message: Message) -> None:
    message.body = message.body.replace(b"m=audio ", b"m=video ")


def port_0(message: Message) -> None:
    head, _, rest = message.body.partition(b"m=audio ")
    message.body = head + b"m=audio 0 " + rest.partition(b" ")[2]


def other_codec(message: Message) -> None:
    lines = [line for line in message.body.split(b"\r\n") if not line.startswith((b"a=rtpmap", b"a=fmtp"))]
    lines = [b"m=audio 4000 RTP/AVP 77" if line.startswith(b"m=audio") else line for line in lines]
    message.body = b"\r\n".join([*lines[:-1], b"a=rtpmap:77 X-NOBODY/8000", b""])


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (refused, ""),
        (nothing, "Incompatible SDP"),
        (garbage, "Incompatible SDP"),
        (no_audio, "Incompatible SDP"),
        (port_0, "Incompatible SDP"),
        (other_codec, "Incompatible SDP"),
    ],
)
def test_an_answer_that_cannot_be_taken_leaves_the_call_as_it_was(change: Change, cause: str) -> None:
    spoilt = Spoilt(change, requests=False)
    alice, mine = spoilt.alice, spoilt.mine
    spoilt.hold(alice, mine)
    (failed,) = alice.events(events.HoldFailed)
    assert (failed.wanted, failed.status) == ("hold", 488)
    assert cause in failed.cause
    assert told(alice) == ["HoldFailed"]
    with pytest.raises(LocalProtocolError, match="not on hold"):
        alice.do(alice.machine.resume, mine)
    spoilt.change = None
    spoilt.hold(alice, mine)
    assert told(alice) == ["HoldFailed", "CallHeld"]


@pytest.mark.parametrize("change", [garbage, no_audio, port_0, other_codec])
def test_an_offer_that_cannot_be_taken_is_refused_and_leaves_the_call_as_it_was(change: Change) -> None:
    spoilt = Spoilt(change, requests=True)
    spoilt.hold(spoilt.bob, spoilt.theirs)
    assert told(spoilt.alice) == []
    (failed,) = spoilt.bob.events(events.HoldFailed)
    assert failed.status == 488
    assert spoilt.still_talks()
    spoilt.change = None
    spoilt.hold(spoilt.bob, spoilt.theirs)
    assert (told(spoilt.alice), told(spoilt.bob)) == (["RemoteHold"], ["HoldFailed", "CallHeld"])


def test_a_re_invite_without_an_offer_gets_ours_and_an_ack_without_an_answer_ends_the_turn() -> None:
    """RFC 3261 section 14.2: whoever asks for an offer owes an answer."""
    spoilt = Spoilt(nothing, requests=True)
    spoilt.hold(spoilt.bob, spoilt.theirs)
    assert told(spoilt.alice) == []
    spoilt.change = None
    spoilt.hold(spoilt.alice, spoilt.mine)
    assert told(spoilt.alice)[-1] in ("CallHeld", "HoldFailed")
