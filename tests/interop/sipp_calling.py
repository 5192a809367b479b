"""Rows of the scenario table in which SIPp calls our phone, or sends it something outside of calls."""

import re

from interop.sipp_scenario import (
    CONTACT,
    OURS,
    Seen,
    ack,
    copies,
    invite,
    label,
    pause,
    recv,
    reinvite,
    reply,
    request,
    sdp,
)
from interop.sipp_stage import LONG, Look, Play, Row, Stage, line, one, received, version

from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import events

__all__ = ["CALLING"]

# What our phone does


async def answer_until_the_end(stage: Stage) -> None:
    call = await stage.ringing()
    call.answer()
    end = await call.ended(LONG)
    assert isinstance(end, events.CallTerminated), end


async def nobody_confirms(stage: Stage) -> None:
    call = await stage.ringing()
    call.answer()
    end = await call.ended(LONG)
    assert isinstance(end, events.CallFailed), end


async def ring_until_the_end(stage: Stage) -> None:
    call = await stage.ringing()
    await call.ended(LONG)


async def early_then_answer(stage: Stage) -> None:
    """Early media first; SIPp says by an INFO-less pause when it has seen enough."""
    call = await stage.ringing()
    stage.phone.command("progress", call.uuid)
    await stage.until(lambda: stage.phone.machine.statistics(call.uuid) is not None)
    await stage.nap(1.5)
    call.answer()
    end = await call.ended(LONG)
    assert isinstance(end, events.CallTerminated), end


async def ring_then_answer(stage: Stage) -> None:
    call = await stage.ringing()
    await stage.nap(1.0)
    call.answer()
    end = await call.ended(LONG)
    assert isinstance(end, events.CallTerminated), end


def reject(status: int) -> Play:
    async def run(stage: Stage) -> None:
        (await stage.ringing()).reject(status)

    return run


async def nothing(stage: Stage) -> None:
    """No call comes."""
    await stage.nap(0.0)
    assert not stage.heard(events.IncomingCall)


async def a_message(stage: Stage) -> None:
    await stage.until(lambda: stage.heard(events.MessageReceived))
    (message,) = stage.heard(events.MessageReceived)
    assert message.body == b"hello\r\n", message.body


async def a_key(stage: Stage) -> None:
    await answer_until_the_end(stage)
    assert [event.tone for event in stage.heard(events.DtmfReceived)] == ["5"]


# What SIPp has seen


def offered(seen: list[Seen]) -> None:
    assert line(one(seen, "200 INVITE"), "m=audio")


def repeats(name: str, least: int) -> Look:
    """Over UDP a response is repeated so often; over a stream never, unless it is a 2xx."""

    def look(seen: list[Seen]) -> None:
        found = len(received(seen, name))
        stream = "TCP" in next(each for each in seen if each.sent).get("Via")
        assert found >= least if not stream else found == 1, found

    return look


def unsupported(*tags: str) -> Look:
    def look(seen: list[Seen]) -> None:
        assert one(seen, "420 INVITE").get("Unsupported").replace(" ", "") == ",".join(tags)

    return look


def found_back(seen: list[Seen]) -> None:
    via = one(seen, "200 OPTIONS").get("Via")
    port = re.search(r"rport=(\d+)", via)
    assert port is not None
    assert "received=127.0.0.1" in via


def allowed(seen: list[Seen]) -> None:
    assert "INVITE" in one(seen, "405 PUBLISH").get("Allow")
    assert one(seen, "501 FOO")


def answers(seen: list[Seen]) -> list[Seen]:
    """The 200 to INVITEs, copies left out."""
    found: list[Seen] = []
    for each in received(seen, "200 INVITE"):
        if each not in found:
            found.append(each)
    return found


def fresh_answer(seen: list[Seen]) -> None:
    first, second = answers(seen)
    assert first.tag == second.tag
    assert version(second) >= version(first)
    assert line(second, "m=audio")


def slots_are_kept(seen: list[Seen]) -> None:
    first, video, last = answers(seen)
    media = [[row.split()[0] for row in each.body.split("\n") if row.startswith("m=")] for each in (first, video, last)]
    assert media == [["m=audio"], ["m=audio", "m=video"], ["m=audio", "m=video"]]
    assert line(video, "m=video").split()[1] == "0"


def directions(*wanted: str) -> Look:
    def look(seen: list[Seen]) -> None:
        found = [re.findall(r"a=(sendrecv|recvonly|sendonly|inactive)", each.body) for each in answers(seen)]
        assert found == [[each] for each in wanted], found

    return look


def capable(seen: list[Seen]) -> None:
    message = one(seen, "200 OPTIONS")
    for name in ("Allow", "Accept", "Supported"):
        assert message.get(name), name


def told_of_failure(seen: list[Seen]) -> None:
    last = received(seen, "NOTIFY")[-1]
    assert "486" in last.body.split("\n")[0], last.body
    assert last.get("Subscription-State").startswith("terminated")


def replaced_is_over(seen: list[Seen]) -> None:
    assert one(seen, "BYE").get("Call-ID").startswith("2///") is False


def mirrors_numbers(seen: list[Seen]) -> None:
    message = one(seen, "200 INVITE")
    assert line(message, "m=audio").split()[3:5] == ["97", "113"]
    assert re.search(r"a=rtpmap:97 opus/48000/2", message.body)
    assert re.search(r"a=rtpmap:113 telephone-event/48000", message.body)


def clock_of_codec(clock: int) -> Look:
    def look(seen: list[Seen]) -> None:
        message = one(seen, "200 INVITE")
        assert f"telephone-event/{clock}" in message.body, message.body

    return look


def mux(wanted: bool) -> Look:
    def look(seen: list[Seen]) -> None:
        assert ("a=rtcp-mux" in one(seen, "200 INVITE").body) is wanted

    return look


def answered_bad_and_good(seen: list[Seen]) -> None:
    assert one(seen, "488 UPDATE")
    assert line(one(seen, "200 UPDATE"), "m=audio")


def at_least(seen: list[Seen], name: str, count: int) -> None:
    found = len(received(seen, name))
    assert found >= count, found


def answered_update(seen: list[Seen]) -> None:
    bodies = [bool(each.body) for each in received(seen, "200 UPDATE")]
    assert bodies == [False, True, False], bodies


# What SIPp does

TRYING = (recv(100, optional=True), recv(180, optional=True))
MY_TAG = '<ereg regexp="tag=([^;]*)" search_in="hdr" header="To:" assign_to="all,ours"/>'
CALL = (invite(sdp()), *TRYING, recv(200), ack())
BYE = (pause(0.3), request("BYE", number=8, branch="bye"), recv(200))
BYE_OF_OURS = (recv("BYE", timeout=LONG), reply(200))


def again(number: int, body: str = "", status: int = 200, answer: str = "") -> tuple[str, ...]:
    """A re-INVITE with its answer and ACK."""
    branch = f"ack{number}" if status < 300 else f"re{number}"
    return reinvite(number, body), recv(100, optional=True), recv(status), ack(number, branch, answer)


def ask(method: str, status: int, body: str = "", *headers: str, number: int = 1, **more: str) -> tuple[str, ...]:
    """A request outside of calls, and its answer."""
    to_tag = bool(more.pop("dialog", ""))
    branch = f"{method.lower()}{number}"
    step = request(method, body, *headers, number=number, branch=branch, to_tag=to_tag, **more)  # type: ignore[arg-type]  # texts
    return step, recv(status)


def refused(status: int, body: str, *headers: str) -> tuple[str, ...]:
    return invite(body, *headers), *TRYING, recv(status), ack(1, "inv")


SLOW = LONG + 10.0
VIDEO = "m=video 9000 RTP/AVP 99\na=rtpmap:99 H264/90000"
OPUS = "a=rtpmap:97 opus/48000/2\na=rtpmap:113 telephone-event/48000"
BOTH = (
    "a=rtpmap:96 opus/48000/2\na=rtpmap:0 PCMU/8000\n"
    "a=rtpmap:110 telephone-event/48000\na=rtpmap:101 telephone-event/8000"
)
UNUSABLE = {"payloads": "33", "maps": "a=rtpmap:33 X-NONE/8000"}
SECOND = "2///[call_id]"
REPLACES = "Replaces: [call_id];to-tag=[$ours];from-tag=[pid]c[call_number]"

_ROWS: dict[str, Row] = {
    "CAN-06": Row(
        (
            invite(sdp()),
            recv(180),
            request("CANCEL", number=1, branch="inv", to_tag=False),
            recv(200),
            recv(487),
            ack(1, "inv"),
        ),
        ring_until_the_end,
    ),
    "CAN-09": Row(ask("CANCEL", 481), nothing),
    "UAS-01": Row((invite(), *TRYING, recv(200), ack(body=sdp()), *BYE), answer_until_the_end, offered),
    "UAS-03": Row((*CALL, invite(sdp(), again=False), pause(0.5), *BYE), answer_until_the_end),
    "UAS-04": Row(
        (invite(sdp(), again=False), *TRYING, recv(200), *copies(200, recv("BYE", timeout=LONG)), reply(200)),
        nobody_confirms,
        lambda seen: at_least(seen, "200 INVITE", 8),
    ),
    "UAS-06": Row(
        (
            invite(sdp(), again=False),
            *TRYING,
            recv(486),
            *ask("OPTIONS", 200),
            *copies(486, recv("BYE", timeout=8.0, late=2), late=2),
            label(2),
            *ask("OPTIONS", 200, number=2),
        ),
        reject(486),
        repeats("486 INVITE", 8),
        patience=LONG,
    ),
    "UAS-07": Row(
        (
            invite(sdp(), again=False),
            recv(180),
            *ask("OPTIONS", 200),
            invite(sdp(), again=False),
            recv(180),
            request("CANCEL", number=1, branch="inv", to_tag=False),
            recv(200),
            recv(487),
            ack(1, "inv"),
        ),
        ring_until_the_end,
    ),
    "UAS-09": Row(refused(420, sdp(), "Require: foo, bar", "Require: baz"), nothing, unsupported("foo", "bar", "baz")),
    "UAS-16": Row(ask("OPTIONS", 200, via=";rport"), nothing, found_back),
    "UAS-18": Row(refused(486, sdp()), reject(486)),
    "UAS-20": Row(
        # SIPp matches by CSeq too, unless it is told which transaction is meant.
        (
            request("OPTIONS", number=1, branch="odd", to_tag=False, cseq_method="MESSAGE").replace(
                "<send", '<send start_txn="odd"'
            ),
            recv(400).replace("<recv", '<recv response_txn="odd"'),
        ),
        nothing,
    ),
    "UAS-23": Row((*ask("FOO", 501), *ask("PUBLISH", 405)), nothing, allowed),
    "UAS-24": Row(
        (
            *ask("BYE", 481, to=f"<{OURS}>;tag=nobody"),
            request("ACK", number=1, branch="stray", to=f"<{OURS}>;tag=nobody"),
            pause(0.5),
            *ask("OPTIONS", 200, number=2),
        ),
        nothing,
    ),
    "DLG-03": Row((*CALL, *again(2, sdp(version=2)), *BYE), answer_until_the_end, fresh_answer),
    "DLG-04": Row((*CALL, *again(2, answer=sdp(version=2)), *BYE), answer_until_the_end, fresh_answer),
    "DLG-07": Row(
        (
            *CALL,
            *again(2, sdp(version=2, more=VIDEO)),
            *again(3, sdp(version=3, more=VIDEO, **UNUSABLE), 488),  # type: ignore[arg-type]  # texts
            *again(4, sdp(version=4, more=VIDEO)),
            *BYE,
        ),
        answer_until_the_end,
        slots_are_kept,
    ),
    "DLG-12": Row(
        (
            *CALL,
            *again(2, sdp(version=2, direction="sendonly")),
            *again(3, sdp(version=3, direction="inactive")),
            *again(4, sdp(version=4)),
            *again(5, sdp(version=5, host="0.0.0.0")),
            *again(6, sdp(version=6)),
            *BYE,
        ),
        answer_until_the_end,
        directions("sendrecv", "recvonly", "inactive", "sendrecv", "recvonly", "sendrecv"),
    ),
    "DLG-17": Row(
        (
            invite(sdp()),
            recv(100, optional=True),
            recv(180),
            *ask("UPDATE", 200, number=2, dialog="yes"),
            recv(200),
            ack(),
            *ask("UPDATE", 200, sdp(version=2), number=3, dialog="yes"),
            *ask("UPDATE", 200, number=4, dialog="yes"),
            *BYE,
        ),
        ring_then_answer,
        answered_update,
    ),
    "DLG-20": Row(
        (*CALL, *again(2, sdp(version=2, **UNUSABLE), 488), *BYE),  # type: ignore[arg-type]  # texts
        answer_until_the_end,
    ),
    "REL-02": Row(
        refused(420, sdp(), "Require: 100rel"), nothing, unsupported("100rel"), options={"reliability": "none"}
    ),
    "REL-06": Row(
        (
            invite(sdp(), "Require: 100rel", again=False),
            recv(180),
            *ask("OPTIONS", 200),
            *copies(180, recv(504, timeout=LONG)),
            ack(1, "inv"),
        ),
        ring_until_the_end,
        lambda seen: at_least(seen, "180 INVITE", 6),
    ),
    "REL-10": Row(
        (
            invite(sdp(), "Supported: 100rel"),
            recv(100, optional=True),
            recv(180, optional=True),
            recv(183, '<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" assign_to="rseq"/>'),
            *ask("PRACK", 200, "", "RAck: [$rseq] 1 INVITE", number=2, dialog="yes"),
            *ask("UPDATE", 488, sdp(version=2, **UNUSABLE), number=3, dialog="yes"),  # type: ignore[arg-type]  # texts
            *ask("UPDATE", 200, sdp(version=3), number=4, dialog="yes"),
            recv(200),
            ack(),
            *BYE,
        ),
        early_then_answer,
        answered_bad_and_good,
    ),
    "XFR-03": Row(
        (
            invite(sdp()),
            *TRYING,
            recv(200, MY_TAG),
            ack(),
            invite(sdp(), REPLACES, branch="inv2", call_id=SECOND),
            recv(100, optional=True),
            recv(200),
            recv("BYE"),  # sent with the 200: SIPp would not know it between that and its own ACK
            ack(1, "ack2", call_id=SECOND),
            reply(200),
            request("BYE", number=8, branch="bye", call_id=SECOND),
            recv(200),
        ),
        answer_until_the_end,
        replaced_is_over,
    ),
    "XFR-04": Row(refused(481, sdp(), "Replaces: nobody@nowhere;to-tag=a;from-tag=b"), nothing),
    "XFR-08": Row(
        (
            *CALL,
            request(
                "REFER",
                "",
                f"Refer-To: <{OURS}>",
                CONTACT,
                number=2,
                branch="r",
            ),
            recv(202),
            recv("NOTIFY"),
            reply(200),
            recv("NOTIFY"),
            reply(200),
            *BYE,
        ),
        answer_until_the_end,
        told_of_failure,
        options={"policy": CallPolicy(refer=Consent.ALLOW)},
    ),
    "OOD-01": Row(ask("OPTIONS", 200), nothing, capable),
    "OOD-02": Row((*CALL, *ask("OPTIONS", 200, number=2, dialog="yes"), *BYE), answer_until_the_end),
    "OOD-03": Row(ask("MESSAGE", 200), nothing),
    "OOD-04": Row((*ask("MESSAGE", 200, "hello"), pause(0.2)), a_message),
    "OOD-05": Row(
        (
            *CALL,
            request("INFO", "", "Content-Type: application/dtmf-relay", number=2, branch="info2").replace(
                "Content-Length: [len]\n\n\n", "Content-Length: [len]\n\nSignal=5\nDuration=160\n"
            ),
            recv(200),
            *ask("INFO", 200, number=3, dialog="yes"),
            *BYE,
        ),
        a_key,
    ),
    "OOD-10": Row(ask("NOTIFY", 481, "", "Event: message-summary", "Subscription-State: active"), nothing),
    "MED-01": Row(
        (invite(sdp(payloads="97 113", maps=OPUS)), *TRYING, recv(200), ack(), *BYE),
        answer_until_the_end,
        mirrors_numbers,
        options={"codecs": ("opus",)},
    ),
    "MED-06": Row(
        (invite(sdp(payloads="96 0 110 101", maps=BOTH)), *TRYING, recv(200), ack(), *BYE),
        answer_until_the_end,
        clock_of_codec(48000),
        options={"codecs": ("opus", "pcmu")},
    ),
    "MED-06-pcmu": Row(
        (invite(sdp(payloads="0 96 110 101", maps=BOTH)), *TRYING, recv(200), ack(), *BYE),
        answer_until_the_end,
        clock_of_codec(8000),
    ),
    "MED-08": Row((invite(sdp(more="a=rtcp-mux")), *TRYING, recv(200), ack(), *BYE), answer_until_the_end, mux(True)),
    "MED-08-without": Row((*CALL, *BYE), answer_until_the_end, mux(False)),
}


CALLING: dict[str, Row] = {name: row.by_sipp() for name, row in _ROWS.items()}
