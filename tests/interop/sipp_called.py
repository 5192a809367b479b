"""Rows of the scenario table in which our phone calls SIPp, or registers with it."""

import re

from interop.sipp_scenario import DIALOG, Seen, callee_request, pause, recv, remember, reply, sdp
from interop.sipp_stage import LONG, SHORT, Play, Row, Stage, line, number, one, received, version

from sansio_sip.context import Secret
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import events
from sansio_sip_async.call import CallError

__all__ = ["CALLED"]

TAG = "s1"

# What our phone does


async def call_and_hang_up(stage: Stage) -> None:
    call = await stage.talking()
    call.hangup()
    await call.ended(SHORT)


async def call_until_the_end(stage: Stage) -> None:
    call = stage.call()
    end = await call.ended(LONG)
    assert isinstance(end, events.CallTerminated), end


async def cancel_when_it_rings(stage: Stage) -> None:
    call = stage.call()
    await stage.until(lambda: stage.heard(events.CallRemoteRinging))
    call.hangup()
    await call.ended(SHORT)
    assert stage.phone.machine.calls() == ()


async def give_up(stage: Stage) -> None:
    end = await stage.call().ended(SHORT)
    assert isinstance(end, events.CallFailed)
    assert stage.phone.machine.calls() == ()


def hold_is_refused(*, ends: bool = False, again: bool = False) -> Play:
    """A later offer of ours fails. The call `ends` by that, or goes on, and another is made `again`."""

    async def run(stage: Stage) -> None:
        call = await stage.talking()
        try:
            await call.hold(SHORT)
        except CallError:
            pass
        else:
            raise AssertionError("the hold was refused, and has succeeded")
        if ends:
            await call.ended(SHORT)
            return
        assert call.end is None
        if again:
            await call.hold(SHORT)
        call.hangup()
        await call.ended(SHORT)

    return run


async def hold_and_hang_up(stage: Stage) -> None:
    call = await stage.talking()
    await call.hold(SHORT)
    call.hangup()
    await call.ended(SHORT)


async def register_and_unregister(stage: Stage) -> None:
    await stage.account.login(SHORT)
    await stage.account.logout(SHORT)


# What SIPp has seen


def one_authorization(seen: list[Seen]) -> None:
    first, second, last = received(seen, "REGISTER")
    assert not first.get("Authorization")
    assert second.get("Authorization").count("Digest ") == 1
    assert "algorithm=SHA-256" in second.get("Authorization")
    assert [number(each) for each in (second, last)] == [number(first) + 1, number(first) + 2]
    assert first.get("Call-ID") == second.get("Call-ID") == last.get("Call-ID")


def acknowledged_end_to_end(seen: list[Seen]) -> None:
    call, answer = one(seen, "INVITE"), one(seen, "ACK")
    assert answer.branch != call.branch
    assert number(answer) == number(call) == 1
    assert number(one(seen, "BYE")) == 2


def answered_a_challenge(seen: list[Seen]) -> None:
    first, second = received(seen, "INVITE")[0], received(seen, "INVITE")[-1]
    acks = received(seen, "ACK")
    assert acks[0].branch == first.branch
    assert acks[0].tag == "p"
    assert second.branch != first.branch
    assert (number(first), number(second)) == (1, 2)
    assert 'realm="sipp"' in second.get("Proxy-Authorization")


def same_ack(seen: list[Seen]) -> None:
    acks = received(seen, "ACK")
    assert len(acks) == 3
    assert acks[0] == acks[1] == acks[2]


def both_acknowledged_one_ended(seen: list[Seen]) -> None:
    assert [each.tag for each in received(seen, "ACK")] == ["s1", "s2"]
    assert [each.tag for each in received(seen, "BYE")] == ["s2", "s1"]


def the_second_is_the_call(seen: list[Seen]) -> None:
    assert one(seen, "ACK").tag == "s2"
    assert one(seen, "BYE").tag == "s2"


def canceled_as_invited(seen: list[Seen]) -> None:
    call, cancel, answer = one(seen, "INVITE"), one(seen, "CANCEL"), one(seen, "ACK")
    assert cancel.branch == call.branch == answer.branch
    assert number(cancel) == number(call)
    assert cancel.first.split()[1] == call.first.split()[1]


def routes_are_reversed(seen: list[Seen]) -> None:
    for name in ("ACK", "BYE"):
        message = one(seen, name)
        assert re.findall(r"sip:(\w+)@", message.get("Route")) == ["one", "two", "three"], message.get("Route")


def redirected(seen: list[Seen]) -> None:
    first, second = received(seen, "INVITE")
    assert "elsewhere" in second.first
    assert first.get("Call-ID") == second.get("Call-ID")
    assert number(second) > number(first)


def failed_hold_and_next(seen: list[Seen]) -> None:
    first, failed, held = received(seen, "INVITE")
    assert version(first) < version(failed) <= version(held)
    assert line(held, "a=sendonly")


def retried_after_glare(seen: list[Seen]) -> None:
    assert one(seen, "491 INVITE")
    assert [number(each) for each in received(seen, "INVITE")] == [1, 2, 3]


def one_prack(seen: list[Seen]) -> None:
    assert one(seen, "PRACK").get("RAck") == "7 1 INVITE"


def longer_session(seen: list[Seen]) -> None:
    second = received(seen, "INVITE")[-1]
    assert int(second.get("Session-Expires").split(";")[0]) >= 300
    assert second.get("Min-SE") == "300"


def refreshed_twice(seen: list[Seen]) -> None:
    assert not one(seen, "UPDATE").body
    first, again = received(seen, "INVITE")
    assert line(first, "o=") == line(again, "o=")


# What SIPp does

RINGING_THEN_OK = (recv("INVITE", DIALOG), reply(180, tag=TAG), reply(200, sdp(), tag=TAG, again=True), recv("ACK"))
BYE_OF_OURS = (recv("BYE"), reply(200))
BYE_OF_SIPP = (callee_request("BYE", 30), recv(200))
CANCELED = (reply(200, tag=TAG), reply(487, tag=TAG, number="1 INVITE", again=True), recv("ACK"))


def again_after_something_else(name: str) -> tuple[str, ...]:
    options = callee_request("OPTIONS", 20 + int(name))
    return options, recv(200), reply(200, sdp(), tag=TAG, of="first"), recv("ACK")


PROXY_CHALLENGE = 'Proxy-Authenticate: Digest realm="sipp", nonce="abc", algorithm=MD5, qop="auth"'
CHALLENGES = tuple(
    f'WWW-Authenticate: Digest realm="{{}}", nonce="{name}", algorithm={name}, qop="auth"'.format("127.0.0.1")
    for name in ("SHA-256", "MD5")
)
ROUTES = (
    "Record-Route: <sip:three@[local_ip]:[local_port];lr>",
    "Record-Route: <sip:two@[local_ip]:[local_port];lr>, <sip:one@[local_ip]:[local_port];lr>",
)
REFRESHED_BY_US = ("Session-Expires: 90;refresher=uac", "Require: timer", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE")

CALLED: dict[str, Row] = {
    "REG-17": Row(
        (
            recv("REGISTER"),
            reply(401, "", *CHALLENGES, tag="r"),
            recv("REGISTER"),
            reply(200, "", "Expires: 60", tag="r"),
            recv("REGISTER"),
            reply(200, tag="r"),
        ),
        register_and_unregister,
        one_authorization,
        options={"password": Secret("secret")},
    ),
    "UAC-01": Row((*RINGING_THEN_OK, *BYE_OF_OURS), call_and_hang_up, acknowledged_end_to_end),
    "UAC-02": Row(
        (recv("INVITE"), reply(407, "", PROXY_CHALLENGE, tag="p"), recv("ACK"), *RINGING_THEN_OK, *BYE_OF_OURS),
        call_and_hang_up,
        answered_a_challenge,
        options={"password": Secret("secret"), "realms": ("sipp",)},
    ),
    # Both are lawful: to give the call up, as here, or to let the 200 decide.
    "UAC-06": Row(
        (
            recv("INVITE"),
            reply(183, sdp(payloads="33", maps="a=rtpmap:33 X-NONE/8000"), tag=TAG),
            recv("CANCEL"),
            *CANCELED,
        ),
        give_up,
        canceled_as_invited,
    ),
    "UAC-07": Row(
        (
            recv("INVITE"),
            reply(200, sdp(payloads="0 8 101", more="a=rtpmap:8 PCMA/8000"), tag=TAG, again=True),
            recv("ACK"),
            *BYE_OF_OURS,
        ),
        call_and_hang_up,
        options={"codecs": ("pcmu", "pcma")},
    ),
    "UAC-13": Row(
        (
            recv("INVITE", DIALOG),
            reply(200, sdp(), tag=TAG),
            recv("ACK"),
            # SIPp takes what equals the message before for a copy, so something else comes between the ACKs.
            *again_after_something_else("1"),
            *again_after_something_else("2"),
            *BYE_OF_SIPP,
        ),
        call_until_the_end,
        same_ack,
    ),
    "UAC-14": Row(
        (
            recv("INVITE", DIALOG),
            reply(200, sdp(), tag="s1"),
            reply(200, sdp(), tag="s2"),
            recv("ACK"),
            recv("ACK"),
            recv("BYE"),
            reply(200),
            *BYE_OF_OURS,
        ),
        call_and_hang_up,
        both_acknowledged_one_ended,
    ),
    "UAC-16": Row(
        (recv("INVITE"), reply(180, tag=TAG), recv("CANCEL"), *CANCELED), cancel_when_it_rings, canceled_as_invited
    ),
    "UAC-20": Row(
        (recv("INVITE"), reply(200, sdp(), *ROUTES, tag=TAG, again=True), recv("ACK"), *BYE_OF_OURS),
        call_and_hang_up,
        routes_are_reversed,
    ),
    "RED-01": Row(
        (
            recv("INVITE"),
            reply(302, tag="r", contact="Contact: <sip:elsewhere@[local_ip]:[local_port]>"),
            recv("ACK"),
            *RINGING_THEN_OK,
            *BYE_OF_OURS,
        ),
        call_and_hang_up,
        redirected,
        options={"policy": CallPolicy(redirect=Consent.ALLOW)},
    ),
    "CAN-02": Row(
        (recv("INVITE"), reply(100), reply(180, tag=TAG), recv("CANCEL"), *CANCELED),
        cancel_when_it_rings,
        canceled_as_invited,
    ),
    "CAN-03": Row(
        (
            recv("INVITE"),
            reply(180, tag=TAG),
            recv("CANCEL"),
            reply(200, sdp(), tag=TAG, number="1 INVITE"),
            reply(481, tag=TAG, number="1 CANCEL"),
            recv("ACK"),
            *BYE_OF_OURS,
        ),
        cancel_when_it_rings,
    ),
    "CAN-04": Row(
        (recv("INVITE"), reply(180, tag=TAG), recv("CANCEL"), reply(200, tag=TAG), pause(1)), cancel_when_it_rings
    ),
    "DLG-01": Row(
        (
            *RINGING_THEN_OK,
            recv("INVITE", remember("ours")),
            callee_request("INVITE", 5, sdp(version=2), branch="glare"),
            recv(491),
            callee_request("ACK", 5, branch="glare"),
            reply(491, of="ours"),
            recv("ACK"),
            recv("INVITE"),
            reply(200, sdp(version=2, direction="recvonly"), again=True),
            recv("ACK"),
            *BYE_OF_OURS,
        ),
        hold_and_hang_up,
        retried_after_glare,
    ),
    "DLG-10": Row(
        (*RINGING_THEN_OK, recv("INVITE"), reply(481), recv("ACK"), *BYE_OF_OURS), hold_is_refused(ends=True)
    ),
    "DLG-11": Row((*RINGING_THEN_OK, recv("INVITE"), reply(403), recv("ACK"), *BYE_OF_OURS), hold_is_refused()),
    "DLG-13": Row(
        (*RINGING_THEN_OK, recv("BYE", remember("ours")), *BYE_OF_SIPP, reply(200, of="ours")), call_and_hang_up
    ),
    "DLG-16": Row((*RINGING_THEN_OK, recv("BYE"), pause(1)), call_and_hang_up),
    "DLG-21": Row(
        (
            *RINGING_THEN_OK,
            recv("INVITE"),
            reply(500),
            recv("ACK"),
            recv("INVITE"),
            reply(200, sdp(version=2, direction="recvonly"), again=True),
            recv("ACK"),
            *BYE_OF_OURS,
        ),
        hold_is_refused(again=True),
        failed_hold_and_next,
    ),
    "REL-01": Row(
        (
            recv("INVITE", DIALOG),
            reply(183, sdp(), "Require: 100rel", "RSeq: 7", tag=TAG),
            recv("PRACK"),
            reply(200),
            reply(183, "", "Require: 100rel", "RSeq: 9", tag=TAG, of="first"),
            pause(0.5),
            reply(200, sdp(), tag=TAG, of="first"),
            recv("ACK"),
            *BYE_OF_OURS,
        ),
        call_and_hang_up,
        one_prack,
    ),
    "FRK-01": Row(
        (
            recv("INVITE", DIALOG),
            reply(180, tag="s1"),
            reply(180, tag="s2"),
            reply(200, sdp(), tag="s2", again=True),
            recv("ACK"),
            *BYE_OF_OURS,
        ),
        call_and_hang_up,
        the_second_is_the_call,
    ),
    "FRK-02": Row(
        (
            recv("INVITE", DIALOG),
            reply(200, sdp(), tag="s1"),
            recv("ACK"),
            reply(200, sdp(), tag="s2", of="first"),
            recv("ACK"),
            recv("BYE"),
            reply(200),
            callee_request("BYE", 9),
            recv(200),
        ),
        call_until_the_end,
        lambda seen: _tags(seen, ["s1", "s2"], ["s2"]),
    ),
    "FRK-03": Row(
        (
            recv("INVITE", DIALOG),
            reply(183, sdp(), tag=TAG),
            pause(0.3),
            reply(200, sdp(), tag=TAG, again=True),
            recv("ACK"),
            *BYE_OF_OURS,
        ),
        call_and_hang_up,
    ),
    "TMR-01": Row(
        (recv("INVITE"), reply(422, "", "Min-SE: 300", tag="t"), recv("ACK"), *RINGING_THEN_OK, *BYE_OF_OURS),
        call_and_hang_up,
        longer_session,
        options={"session_expires": 90},
    ),
    "TMR-05": Row(
        (
            recv("INVITE", DIALOG),
            reply(200, sdp(), *REFRESHED_BY_US, tag=TAG, again=True),
            recv("ACK"),
            recv("UPDATE", timeout=LONG),
            reply(400),
            recv("INVITE"),
            reply(200, sdp(), *REFRESHED_BY_US, again=True),
            recv("ACK"),
            *BYE_OF_SIPP,
        ),
        call_until_the_end,
        refreshed_twice,
        options={"session_expires": 90},
    ),
}


def _tags(seen: list[Seen], acknowledged: list[str], ended: list[str]) -> None:
    assert [each.tag for each in received(seen, "ACK")] == acknowledged
    assert [each.tag for each in received(seen, "BYE")] == ended
