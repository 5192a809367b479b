"""Each fault of a target is found by the case that is there for it: our own machines, with one thing made wrong."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from conformance.peers_in_a_world import PASSWORD, Reply, Spoil, caller, new_world, phone, server, try_on

from sansio_sip.conformance import Role, Verdict, cases_for
from sansio_sip.sip.message import Message, Request, Response

UDP = "udp://10.0.0.1:5060"
FAIL, NOT_APPLICABLE, PASS = Verdict.FAIL, Verdict.NOT_APPLICABLE, Verdict.PASS

Change = Callable[[Any], object]


def answers(method: str, change: Change, *, first: int = 1, last: int = 10**9, status: int = 200) -> Spoil:
    """Changes the final answers to a method whose number in CSeq is from `first` to `last`. What is made None of, goes
    lost."""

    def spoil(message: Message) -> Iterable[Message | bytes]:
        if (
            isinstance(message, Response)
            and message.cseq.method == method
            and first <= message.cseq.number <= last
            and message.status >= status
        ):
            changed = change(message)
            return [changed] if isinstance(changed, bytes) else [] if changed is LOST else [message]
        return [message]

    return spoil


def requests(method: str, change: Change, *, after: int = 0) -> Spoil:
    """Changes all requests of a method but the first `after`."""
    seen: list[Request] = []

    def spoil(message: Message) -> Iterable[Message | bytes]:
        if isinstance(message, Request) and message.method == method:
            seen.append(message)
            if len(seen) > after:
                return [] if change(message) is LOST else [message]
        return [message]

    return spoil


LOST = object()


def lost(_: Message) -> object:
    return LOST


def status(number: int) -> Change:
    def change(response: Response) -> None:
        response.status, response.reason = number, "Spoilt"

    return change


def header(name: str, *rows: str) -> Change:
    return lambda message: message.headers.set(name, *rows) if rows else message.headers.remove(name)


def rewritten(name: str, pattern: str, text: str) -> Change:
    return lambda message: message.headers.set(
        name, *(re.sub(pattern, text, row) for row in message.headers.get_all(name))
    )


def no_body(message: Message) -> None:
    message.body = b""
    message.headers.remove("Content-Type")


def in_body(old: bytes, new: bytes) -> Change:
    def change(message: Message) -> None:
        message.body = message.body.replace(old, new)

    return change


def later(change: Change, after: int = 1) -> Change:
    """From the answer after `after` on."""
    seen: list[Message] = []

    def change_later(message: Message) -> object:
        seen.append(message)
        return change(message) if len(seen) > after else None

    return change_later


def all_of(*changes: Change) -> Change:
    def change(message: Message) -> None:
        for each in changes:
            each(message)

    return change


def garbage(_: Message) -> bytes:
    return b"SIP/2.0 200 OK\r\nthis is no header\r\n\r\n"


def taken(message: Response) -> None:
    """The call is taken, whatever it was."""
    status(200)(message)
    message.headers.set("Contact", "<sip:alice@10.0.0.1:5060>")
    message.headers.remove("Retry-After")


def judged(role: Role, name: str, spoil: Spoil | None = None, reply: Reply | None = None) -> Any:
    world = new_world()
    options: dict[str, Any] = {"spoil": spoil} if spoil is not None else {}
    if role is Role.REGISTRAR:
        uri, url = server(world, **options), UDP
    elif role is Role.UAS:
        uri, url = phone(world, reply=reply, **options), UDP
    else:
        uri, url = caller(world, reply=reply, **options), None
    cases = [case for case in cases_for(role) if case.name == name]
    assert cases
    password = PASSWORD if role is Role.REGISTRAR else None
    (result,) = try_on(world, role, uri, url, cases=cases, password=password).results
    return result


def find(role: Role, name: str, verdict: Verdict, detail: str, spoil: Spoil | None, reply: Reply | None = None) -> None:
    result = judged(role, name, spoil, reply)
    assert (result.verdict, detail in result.detail) == (verdict, True), f"{result.verdict}: {result.detail}"


# A target that takes calls


@pytest.mark.parametrize(
    ("name", "verdict", "detail", "spoil"),
    [
        ("UAS-09", FAIL, "does not list nobody-b", answers("OPTIONS", header("Unsupported", "nobody-a"))),
        (
            "UAS-16",
            FAIL,
            "received is 10.9.9.9",
            answers("OPTIONS", rewritten("Via", "received=[0-9.]+", "received=10.9.9.9")),
        ),
        (
            "AGAIN",
            FAIL,
            "then 200 OK with tag other",
            answers("OPTIONS", later(rewritten("To", "tag=.*", "tag=other"))),
        ),
        ("PRACK-0", NOT_APPLICABLE, "not supported", answers("PRACK", status(405))),
        ("PRACK-0", FAIL, "got 200 Spoilt, not 481", answers("PRACK", status(200))),
        ("OPTIONS", FAIL, "what is no SIP", answers("OPTIONS", garbage)),
        ("OPTIONS", FAIL, "another Call-ID or CSeq", answers("OPTIONS", rewritten("CSeq", "[0-9]+", "77"))),
        ("OPTIONS", FAIL, "another From", answers("OPTIONS", rewritten("From", "tag=.*", "tag=other"))),
        ("UAC-01", FAIL, "malformed header", answers("INVITE", header("Contact", "<sip:a@b"))),
        ("UAC-01", FAIL, "with no description", answers("INVITE", no_body)),
        ("UAC-01", FAIL, "changed the tag in To", answers("BYE", rewritten("To", "tag=.*", "tag=other"))),
        ("BYE-2", FAIL, "BYE got 200 Spoilt, not 481", answers("BYE", status(200), first=3)),
        ("CAN-06", NOT_APPLICABLE, "does not ring", answers("INVITE", status(486), status=180)),
        ("CAN-06", NOT_APPLICABLE, "before the CANCEL came", answers("INVITE", taken)),
        ("CAN-06", FAIL, "only CANCEL was answered", answers("INVITE", lost)),
        (
            "CAN-06",
            FAIL,
            "nothing was answered",
            lambda one: answers("INVITE", lost)(one) if one.cseq.method == "INVITE" else [],
        ),
        ("CAN-06", FAIL, "INVITE 480 Spoilt", answers("INVITE", status(480))),
        ("CAN-06", FAIL, "no answer to INVITE", answers("INVITE", lost, status=100)),
        ("UAS-01", FAIL, "does not take a call without offer", answers("INVITE", status(486))),
        ("UAS-01", FAIL, "has none either", answers("INVITE", no_body)),
        ("UAS-04", FAIL, "does not take a plain call", answers("INVITE", status(486))),
        ("UAS-04", FAIL, "copy 1 of the 200 did not come", answers("INVITE", later(lost))),
        ("UAS-06", FAIL, "unknown extension was taken", answers("INVITE", taken)),
        (
            "UAS-08",
            FAIL,
            "and 200 OK, none is 482",
            answers("INVITE", lambda one: one.status == 482 and status(486)(one)),
        ),
        ("UAS-08", FAIL, "got nothing", answers("INVITE", lost)),
        ("UAS-11", FAIL, "broken description was taken", answers("INVITE", taken)),
        ("UAS-13", FAIL, "got 500", answers("INVITE", status(500))),
        ("ROUTES", FAIL, "does not take a call by a proxy", answers("INVITE", status(486))),
        ("ROUTES", FAIL, "does not carry the Record-Route", answers("INVITE", header("Record-Route"))),
        ("UAS-25", FAIL, "does not take a plain call", answers("INVITE", status(486))),
        ("UAS-25", FAIL, "OPTIONS got 200 Spoilt, not 500", answers("OPTIONS", status(200))),
        ("DLG-03", FAIL, "got 500", answers("INVITE", status(500), first=2)),
        ("DLG-03", FAIL, "with no description", answers("INVITE", no_body, first=2)),
        ("DLG-04", FAIL, "got 500", answers("INVITE", status(500), first=2)),
        ("DLG-04", FAIL, "has none either", answers("INVITE", no_body, first=2)),
        ("DLG-12", FAIL, "got 500", answers("INVITE", status(500), first=2)),
        (
            "DLG-12",
            FAIL,
            "neither recvonly nor inactive",
            answers("INVITE", in_body(b"a=recvonly", b"a=sendrecv"), first=2),
        ),
        ("DLG-07", NOT_APPLICABLE, "unknown codec only", answers("INVITE", taken, first=2)),
        ("DLG-07", FAIL, "the next re-INVITE got 500", answers("INVITE", status(500), first=3)),
        ("DLG-17", NOT_APPLICABLE, "UPDATE is not in Allow", answers("INVITE", header("Allow", "INVITE, ACK, BYE"))),
        ("DLG-17", FAIL, "with no description", answers("UPDATE", no_body)),
    ],
)
def test_a_fault_in_what_a_target_answers(name: str, verdict: Verdict, detail: str, spoil: Spoil) -> None:
    find(Role.UAS, name, verdict, detail, spoil)


def another_call(message: Message) -> Iterable[Message]:
    """Takes each copy of an INVITE for a call of its own."""
    if isinstance(message, Request) and message.method == "INVITE":
        response = message.response(200, to_tag=f"copy{id(message)}")
        taken(response)
        yield response


def twice_after_ack(number: int) -> Reply:
    """Goes on with the final response once it has been acknowledged."""

    def reply(message: Message) -> Iterable[Message]:
        if isinstance(message, Request) and message.method == "ACK":
            response = message.response(number)
            response.headers.set("CSeq", f"{message.cseq.number} INVITE")
            response.headers.set("To", message.headers.get("To") or "")
            yield from [response] * 2

    return reply


@pytest.mark.parametrize(
    ("name", "detail", "reply"),
    [
        ("UAS-03", "has begun another call", another_call),
        ("UAS-04", "the 200 is sent on after the ACK", twice_after_ack(200)),
        ("UAS-06", "the 420 is sent on after the ACK", twice_after_ack(420)),
    ],
)
def test_a_fault_in_what_a_target_says_unasked(name: str, detail: str, reply: Reply) -> None:
    find(Role.UAS, name, FAIL, detail, None, reply)


def test_what_a_target_asks_meanwhile_is_answered() -> None:
    """A target that places a call of its own, asks for options and ends a call that is not there."""
    answered: dict[str, int] = {}

    def reply(message: Message) -> Iterable[Message]:
        if isinstance(message, Response):
            answered[message.cseq.method] = message.status
        elif isinstance(message, Request) and message.method == "INVITE":
            for method in ("INVITE", "OPTIONS", "BYE", "ACK"):
                rows = [
                    ("Via", f"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}"),
                    ("From", "<sip:a@10.0.0.1>;tag=1"),
                ]
                rows += [("To", "<sip:kit@10.0.0.7>"), ("Call-ID", "own"), ("CSeq", f"1 {method}")]
                yield Request(method, message.contacts[0].uri, rows)

    find(Role.UAS, "UAC-01", PASS, "", None, reply)
    assert answered == {"INVITE": 486, "OPTIONS": 200, "BYE": 481}


# A registrar


def limited(count: int) -> Change:
    """Lists no more contacts than so many."""
    return lambda message: header("Contact", *message.headers.get_all("Contact")[:count])(message)


OTHER = "<sip:kit-other@192.0.2.77:5066>;expires=60"


@pytest.mark.parametrize(
    ("name", "verdict", "detail", "spoil"),
    [
        (
            "REG-22a",
            FAIL,
            "for longer than asked",
            answers("REGISTER", rewritten("Contact", "expires=[0-9]+", "expires=9999")),
        ),
        ("REG-22b", NOT_APPLICABLE, "keeps one contact", answers("REGISTER", limited(1))),
        ("REG-22c", FAIL, "the contact is not listed", answers("REGISTER", limited(0))),
        ("REG-22d", FAIL, "lists a contact still", answers("REGISTER", header("Contact", OTHER))),
        ("REG-22d", FAIL, "a contact is there still", answers("REGISTER", later(header("Contact", OTHER), 4))),
        ("REG-22e", FAIL, "got 200", answers("REGISTER", status(200))),
        ("REG-challenge", NOT_APPLICABLE, "no challenge: 200", answers("REGISTER", status(200))),
        (
            "REG-challenge",
            FAIL,
            "without realm or nonce",
            answers("REGISTER", header("WWW-Authenticate", 'Digest realm="a"')),
        ),
        ("REG-star-list", FAIL, "got 200, not 400", answers("REGISTER", status(200))),
        ("REG-star-list", FAIL, "got 200, not 400", answers("REGISTER", garbage)),
        ("REG-star-list", Verdict.SILENT, "no answer", answers("REGISTER", lost)),
        ("REG-order", FAIL, "took the binding away", answers("REGISTER", later(limited(0), 4))),
        (
            "REG-parameter",
            FAIL,
            "does not count",
            answers("REGISTER", rewritten("Contact", "expires=[0-9]+", "expires=3000")),
        ),
        ("REG-18", NOT_APPLICABLE, "keeps one contact", answers("REGISTER", limited(1))),
        ("REG-18", FAIL, "left are", answers("REGISTER", later(header("Contact", OTHER), 2))),
        ("REG-09", FAIL, "got 500", answers("REGISTER", status(500))),
        ("REG-require", FAIL, "Unsupported lists nothing", answers("REGISTER", header("Unsupported"))),
        ("REG-contact", FAIL, "got 200, not 400", answers("REGISTER", status(200))),
        ("REG-contact", Verdict.SILENT, "no answer", answers("REGISTER", lost)),
        ("REG-parameters", FAIL, "is gone", answers("REGISTER", rewritten("Contact", ";unknownparam", ""))),
        ("REG-again", FAIL, "first 401", answers("REGISTER", later(status(403)))),
        ("UAS-20", FAIL, "got 200, not 400", answers("MESSAGE", status(200))),
        ("UAS-20", Verdict.SILENT, "no answer", answers("MESSAGE", lost)),
        ("PROXY-call", NOT_APPLICABLE, "passes no call on", requests("INVITE", lost)),
        ("PROXY-call", NOT_APPLICABLE, "passes no call on", lambda one: [] if one.cseq.method == "INVITE" else [one]),
        ("PROXY-call", FAIL, "Max-Forwards went from 70 to 70", requests("INVITE", header("Max-Forwards", "70"))),
        (
            "PROXY-call",
            FAIL,
            "came back as 480 Spoilt",
            answers("INVITE", lambda one: one.status == 486 and status(480)(one)),
        ),
        (
            "PROXY-call",
            FAIL,
            "came back as nothing",
            answers("INVITE", lambda one: LOST if one.status == 486 else None),
        ),
        ("PROXY-call", FAIL, "one on top", requests("INVITE", lambda one: header("Via", str(one.top_via))(one))),
    ],
)
def test_a_fault_of_a_registrar(name: str, verdict: Verdict, detail: str, spoil: Spoil) -> None:
    find(Role.REGISTRAR, name, verdict, detail, spoil)


def test_a_password_that_was_not_given_cannot_be_wrong() -> None:
    world = new_world()
    cases = [case for case in cases_for(Role.REGISTRAR) if case.name == "REG-22e"]
    (result,) = try_on(world, Role.REGISTRAR, server(world), UDP, cases=cases).results
    assert (result.verdict, result.detail) == (NOT_APPLICABLE, "no password was given, so none can be wrong")


# A target that calls


def branch_of_the_invite() -> Spoil:
    """Sends each ACK within the transaction of its INVITE."""
    branches: dict[str, str] = {}

    def spoil(message: Message) -> Iterable[Message]:
        if isinstance(message, Request) and message.method == "INVITE":
            branches[message.call_id] = message.headers.get("Via") or ""
        elif isinstance(message, Request) and message.method == "ACK":
            message.headers.set("Via", branches[message.call_id])
        yield message

    return spoil


def acknowledges_anything(message: Message) -> Iterable[Message]:
    """An ACK to each 200, whatever it answers."""
    if isinstance(message, Response) and message.status == 200 and message.top_via.branch == "z9hG4bKnobody":
        rows = [("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKack"), ("Call-ID", message.call_id)]
        rows += [("From", message.headers.get("From") or ""), ("To", message.headers.get("To") or "")]
        yield Request("ACK", message.contacts[0].uri, [*rows, ("CSeq", f"{message.cseq.number} ACK")])


@pytest.mark.parametrize(
    ("name", "verdict", "detail", "spoil"),
    [
        ("UAC-01", NOT_APPLICABLE, "has not called within 30 s", requests("INVITE", lost)),
        (
            "UAC-18",
            FAIL,
            "no Max-Forwards and no Contact",
            requests("INVITE", all_of(header("Max-Forwards"), header("Contact"))),
        ),
        ("UAC-18", FAIL, "no tag in From", requests("INVITE", rewritten("From", ";tag=.*", ""))),
        (
            "UAC-18",
            FAIL,
            "does not begin with z9hG4bK",
            requests("INVITE", rewritten("Via", "branch=z9hG4bK", "branch=z8")),
        ),
        ("UAC-01", FAIL, "no ACK", requests("ACK", lost)),
        ("UAC-01", FAIL, "the CSeq of the ACK is 999 ACK", requests("ACK", header("CSeq", "999 ACK"))),
        ("UAC-01", FAIL, "does not carry the tag of the 200", requests("ACK", rewritten("To", "tag=.*", "tag=other"))),
        ("UAC-01", FAIL, "our Contact is", requests("ACK", lambda one: setattr(one, "uri", one.from_.uri))),
        ("UAC-01", FAIL, "has the branch of the INVITE", branch_of_the_invite()),
        ("UAC-01", FAIL, "the INVITE has no Contact", requests("INVITE", header("Contact"))),
        ("UAC-12", FAIL, "no ACK", requests("ACK", lost)),
        ("UAC-12", FAIL, "no ACK to the copy of the 486", requests("ACK", lost, after=1)),
        ("UAC-12", FAIL, "has not the branch", requests("ACK", rewritten("Via", "branch=.*", "branch=z9hG4bKother"))),
        ("UAC-13", FAIL, "no ACK", requests("ACK", lost)),
        ("UAC-13", FAIL, "no ACK to the copy of the 200", requests("ACK", lost, after=1)),
        ("UAC-14", FAIL, "no ACK to the second 200", requests("ACK", lost, after=1)),
        ("UAC-20", FAIL, "the routes of the ACK are none", requests("ACK", header("Route"))),
        ("UAC-09", FAIL, "copy 1 of the INVITE did not come", requests("INVITE", lost, after=1)),
        ("UAC-09", FAIL, "copies of the INVITE came after 0.00 s", lambda one: [one] * 3),
        ("DLG-13", FAIL, "BYE got 200 Spoilt, not 481", answers("BYE", status(200), first=2)),
    ],
)
def test_a_fault_of_one_who_calls(name: str, verdict: Verdict, detail: str, spoil: Spoil) -> None:
    find(Role.UAC, name, verdict, detail, spoil)


def test_an_answer_to_nobody_that_is_acknowledged() -> None:
    find(Role.UAC, "FOREIGN", FAIL, "acknowledged a response to nobody", None, acknowledges_anything)


def test_one_who_keeps_both_calls_of_a_fork_passes() -> None:
    """Its BYE to the second never comes; the kit hangs up both."""
    find(Role.UAC, "UAC-14", PASS, "", requests("BYE", lost))
