"""Two user agents back to back over UDP, also when the network loses, delays and reorders."""

import pytest
from sip.ua_pipe import ALICE, ANSWER, BOB, OFFER, Node, Pipe

from sansio_sip.sip.call_events import (
    CallAccepted,
    CallConfirmed,
    CallEnd,
    CallEnded,
    CallId,
    CallProgress,
    EndKind,
    IncomingCall,
    InfoReceived,
    ReofferAnswered,
    ReofferReceived,
    ReofferRejected,
)
from sansio_sip.sip.message import Message, Request
from sansio_sip.sip.uri import SipUri

TO_BOB = SipUri("192.0.2.2", "bob", port=5060)


def pair(seed: int = 1, **conditions: float) -> tuple[Pipe, Node, Node]:
    pipe = Pipe(seed, **conditions)
    return pipe, pipe.add("alice", ALICE), pipe.add("bob", BOB)


def incoming(node: Node) -> CallId | None:
    calls = [event.call for event in node.events if isinstance(event, IncomingCall)]
    return calls[-1] if calls else None


def established(pipe: Pipe, alice: Node, bob: Node) -> tuple[CallId, CallId]:
    call = alice.ua.invite(TO_BOB, OFFER, now=pipe.now)
    pipe.run(60, lambda: incoming(bob) is not None)
    answering = incoming(bob)
    assert answering is not None
    bob.ua.ring(answering, now=pipe.now)
    pipe.run(1)
    bob.ua.answer(answering, ANSWER, now=pipe.now)
    pipe.run(60, lambda: bool(alice.of(CallAccepted) and bob.of(CallConfirmed)))
    assert alice.of(CallAccepted)
    assert bob.of(CallConfirmed)
    return call, answering


def settled(pipe: Pipe) -> None:
    """Nothing is left after the longest timers: no calls, no deadlines; numbers only rose."""
    pipe.run(200)
    for node in pipe.nodes.values():
        assert node.ua.is_idle
        assert node.ua.next_timeout() is None
        assert not node.ua._sessions
        ends = [event.call for event in node.events if isinstance(event, CallEnded)]
        assert len(ends) == len(set(ends))
        numbers_rise(node.sent)


def numbers_rise(sent: list[Message]) -> None:
    """Of each dialog side, CSeq numbers strictly rise from one new request to the next (RFC 3261 section 12.2.1.1)."""
    latest: dict[tuple[str, str, str], int] = {}
    seen: set[str] = set()
    for message in sent:
        if not isinstance(message, Request) or message.method in ("ACK", "CANCEL"):
            continue
        branch = message.top_via.branch or ""
        if branch in seen:
            continue  # sent again by its transaction
        seen.add(branch)
        side = (message.call_id, message.from_.tag or "")
        key = (*side, message.to.tag or "")  # each way of a forked call has its own numbers
        assert message.cseq.number > latest.get(key, latest.get((*side, ""), 0)), message.method
        latest[key] = message.cseq.number


def test_call_is_the_flow_of_rfc_3665_section_3_1() -> None:
    pipe, alice, bob = pair()
    call, answering = established(pipe, alice, bob)
    bob.ua.hangup(answering, now=pipe.now)
    pipe.run(5)
    assert pipe.log == [
        "alice: INVITE",
        "bob: 180 INVITE",
        "bob: 200 INVITE",
        "alice: ACK",
        "bob: BYE",
        "alice: 200 BYE",
    ]
    assert [type(event) for event in alice.events] == [CallProgress, CallAccepted, CallEnded]
    assert alice.events[-1] == CallEnded(call, CallEnd(EndKind.HUNG_UP, "remote", 200, "Terminated"))
    assert bob.events[-1] == CallEnded(answering, CallEnd(EndKind.HUNG_UP, "local", 200, "Terminated"))
    settled(pipe)


def test_cancel_is_the_flow_of_rfc_3665_section_3_8() -> None:
    pipe, alice, bob = pair()
    call = alice.ua.invite(TO_BOB, OFFER, now=pipe.now)
    pipe.run(0.02, lambda: incoming(bob) is not None)
    ringing = incoming(bob)
    assert ringing is not None
    bob.ua.ring(ringing, now=pipe.now)
    pipe.run(1)
    alice.ua.hangup(call, now=pipe.now)
    pipe.run(5)
    assert sorted(pipe.log[2:]) == sorted(["alice: CANCEL", "bob: 200 CANCEL", "bob: 487 INVITE", "alice: ACK"])
    assert alice.events[-1] == CallEnded(call, CallEnd(EndKind.CANCELED, "local", 487, "Canceled"))
    assert bob.events[-1] == CallEnded(ringing, CallEnd(EndKind.CANCELED, "remote", 487, "Canceled"))
    settled(pipe)


def test_both_hang_up_at_once() -> None:
    pipe, alice, bob = pair()
    call, answering = established(pipe, alice, bob)
    alice.ua.hangup(call, now=pipe.now)
    bob.ua.hangup(answering, now=pipe.now)
    pipe.run(5)
    assert sorted(pipe.log[4:]) == ["alice: 200 BYE", "alice: BYE", "bob: 200 BYE", "bob: BYE"]
    settled(pipe)


def test_lost_ack_is_mended_by_the_repeated_2xx() -> None:
    pipe, alice, bob = pair()
    lost: list[Message] = []

    def drop(_sender: Node, message: Message) -> bool:
        if isinstance(message, Request) and message.method == "ACK" and len(lost) < 3:
            lost.append(message)
            return True
        return False

    pipe.drop = drop
    established(pipe, alice, bob)
    assert pipe.log.count("bob: 200 INVITE") == 4
    assert len({message.top_via.branch for message in lost}) == 1


def test_both_offer_again_at_once_and_both_get_through() -> None:
    pipe, alice, bob = pair()
    call, answering = established(pipe, alice, bob)
    alice.ua.reoffer(call, b"v=0 alice\r\n", now=pipe.now)
    bob.ua.reoffer(answering, b"v=0 bob\r\n", now=pipe.now)
    pipe.run(3, lambda: bool(alice.of(ReofferReceived)))
    assert pipe.log.count("alice: 491 INVITE") == pipe.log.count("bob: 491 INVITE") == 1
    # Bob did not make the Call-ID, so his turn comes first; Alice's own offer is overtaken by it.
    assert alice.events[-2:] == [
        ReofferRejected(call, 491, "SIP Failure Code", overtaken=True),
        ReofferReceived(call, b"v=0 bob\r\n"),
    ]
    alice.ua.answer_reoffer(call, ANSWER, now=pipe.now)
    pipe.run(3, lambda: bool(bob.of(ReofferAnswered)))
    assert bob.events[-1] == ReofferAnswered(answering, ANSWER)
    pipe.run(1)
    alice.ua.reoffer(call, b"v=0 alice 2\r\n", now=pipe.now)
    pipe.run(3, lambda: bool(bob.of(ReofferReceived)))
    assert bob.events[-1] == ReofferReceived(answering, b"v=0 alice 2\r\n")
    alice.ua.hangup(call, now=pipe.now)
    settled(pipe)


def test_call_to_ourselves() -> None:
    pipe = Pipe()
    alice = pipe.add("alice", ALICE)
    call = alice.ua.invite(SipUri("192.0.2.1", "alice"), OFFER, now=pipe.now)
    pipe.run(1, lambda: incoming(alice) is not None)
    other = incoming(alice)
    assert other is not None
    assert other != call
    alice.ua.answer(other, ANSWER, now=pipe.now)
    pipe.run(1)
    alice.ua.hangup(other, now=pipe.now)
    settled(pipe)
    assert [type(event) for event in alice.events] == [
        IncomingCall,
        CallAccepted,
        CallConfirmed,
        CallEnded,
        CallEnded,
    ]


def whole_call(seed: int, loss: float) -> tuple[bool, bool]:
    """A call over a bad network, with INFO and a new offer. Whether it was answered, and all of it went well."""
    pipe, alice, bob = pair(seed, loss=loss, delay=0.02, jitter=0.2)
    call = alice.ua.invite(TO_BOB, OFFER, now=pipe.now)
    pipe.run(40, lambda: incoming(bob) is not None or bool(alice.of(CallEnded)))
    answering = incoming(bob)
    confirmed = False
    if answering is not None and not bob.of(CallEnded):
        bob.ua.ring(answering, now=pipe.now)
        pipe.run(2)
        if not bob.of(CallEnded):
            bob.ua.answer(answering, ANSWER, now=pipe.now)
            pipe.run(40, lambda: bool((alice.of(CallAccepted) and bob.of(CallConfirmed)) or bob.of(CallEnded)))
        confirmed = bool(alice.of(CallAccepted) and bob.of(CallConfirmed))
    well = False
    if confirmed and not alice.of(CallEnded) and not bob.of(CallEnded):
        alice.ua.send_info(call, "application/dtmf-relay", b"Signal=1\r\n", now=pipe.now)
        pipe.run(40, lambda: bool(bob.of(InfoReceived)))
        alice.ua.reoffer(call, b"v=0 again\r\n", now=pipe.now)
        pipe.run(40, lambda: bool(bob.of(ReofferReceived) or alice.of(ReofferRejected)))
        if bob.of(ReofferReceived) and not bob.of(CallEnded):
            assert answering is not None
            bob.ua.answer_reoffer(answering, ANSWER, now=pipe.now)
            pipe.run(40, lambda: bool(alice.of(ReofferAnswered, CallEnded)))
        well = bool(alice.of(ReofferAnswered)) and not alice.of(CallEnded) and not bob.of(CallEnded)
        if not alice.of(CallEnded):
            alice.ua.hangup(call, now=pipe.now)
    pipe.run(100)
    if answering is not None and not bob.of(CallEnded):
        bob.ua.hangup(answering, now=pipe.now)  # each BYE or CANCEL to him was lost
    settled(pipe)
    # One end for each call that began, at each side that knew of it; an INVITE that came twice is one call.
    assert len(alice.of(CallEnded)) == 1
    assert len(bob.of(IncomingCall)) <= 1
    assert len(bob.of(InfoReceived)) <= 1
    if well:
        assert len(bob.of(CallEnded)) <= 1
    return confirmed, well


@pytest.mark.parametrize("block", range(4))
def test_calls_at_30_percent_loss_with_reordering(block: int) -> None:
    results = [whole_call(seed, 0.3) for seed in range(block * 15, block * 15 + 15)]
    assert sum(confirmed for confirmed, _ in results) >= 14
    assert sum(well for _, well in results) >= 13


def test_calls_without_loss_but_with_reordering_all_go_well() -> None:
    assert all(well for _, well in (whole_call(seed, 0.0) for seed in range(100, 110)))


def test_one_seed_gives_one_log() -> None:
    def log(seed: int) -> list[str]:
        pipe, alice, _bob = pair(seed, loss=0.3, jitter=0.2)
        alice.ua.invite(TO_BOB, OFFER, now=pipe.now)
        pipe.run(40)
        return pipe.log

    assert log(7) == log(7)
    assert log(7) != log(8)
