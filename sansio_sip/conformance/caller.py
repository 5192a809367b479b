"""Cases for a user agent that calls us: each takes one of its calls."""

from collections.abc import Generator
from typing import Final

from sansio_sip.sip.message import Message, Request, Response

from .case import Case, adds_to
from .end import T1, End
from .script import Failed, Heard, NotApplicable, Role, Script, Send, Step

__all__ = ["CASES"]

CASES: Final[list[Case]] = []
case = adds_to(CASES, Role.UAC)

MAX_PAUSE: Final = 20.0  # seconds, of a client that has sent its fifth copy
AWAIT_CALL: Final = 30.0  # seconds that the target may take until it calls again


def called(end: End) -> Generator[Step, Heard, Request]:
    """The next call of the target; copies of earlier ones are told apart by who has a tag already."""
    message = yield from end.hear(
        lambda one: isinstance(one, Request) and one.method == "INVITE" and one.to.tag is None, AWAIT_CALL
    )
    if not isinstance(message, Request):
        raise NotApplicable(f"the target has not called within {AWAIT_CALL:.0f} s")
    return message


def accept(end: End, invite: Request, *, tag: str = "kit", more: tuple[tuple[str, str], ...] = ()) -> Response:
    body = end.offer("0 8" if b" 0" in invite.body else "0")
    return end.answer(invite, 200, *more, tag=tag, body=body)


def is_ack(invite: Request, message: Message) -> bool:
    return isinstance(message, Request) and message.method == "ACK" and message.call_id == invite.call_id


def acknowledged(end: End, invite: Request, seconds: float = 2.0) -> Generator[Step, Heard, Request]:
    ack = yield from end.hear(lambda one: is_ack(invite, one), seconds)
    if not isinstance(ack, Request):
        raise Failed("no ACK")
    return ack


def bye(end: End, invite: Request, tag: str = "kit") -> Script:
    """Hangs up, or answers the target that was first."""
    contacts = invite.contacts
    if not contacts:
        raise Failed("the INVITE has no Contact (RFC 3261 section 8.1.1.8)")
    rows = [("Via", end.via()), ("Max-Forwards", "70"), ("From", f"{invite.headers.get('To')};tag={tag}")]
    rows += [("To", invite.headers.get("From") or ""), ("Call-ID", invite.call_id), ("CSeq", "1 BYE")]
    yield from end.expect(Request("BYE", contacts[0].uri, rows), 200, 481)


@case("UAC-18", "3261", "8.1.1", "the INVITE has the headers that it must have")
def headers(end: End) -> Script:
    invite = yield from called(end)
    yield Send(bytes(end.answer(invite, 486)))
    missing = [name for name in ("Max-Forwards", "Contact") if name not in invite.headers]
    if missing:
        raise Failed(f"no {' and no '.join(missing)}")
    if invite.from_.tag is None:
        raise Failed("no tag in From")
    if not (invite.top_via.branch or "").startswith("z9hG4bK") or len(invite.top_via.branch or "") < 8:
        raise Failed("the branch does not begin with z9hG4bK")
    yield from acknowledged(end, invite)


@case("UAC-01", "3665", "3.1", "ACK to the 200: for our Contact, with the number of the INVITE and our tag; then BYE")
def plain_call(end: End) -> Script:
    invite = yield from called(end)
    yield Send(bytes(end.answer(invite, 180)))
    yield Send(bytes(accept(end, invite)))
    ack = yield from acknowledged(end, invite)
    if ack.cseq.number != invite.cseq.number or ack.cseq.method != "ACK":
        raise Failed(f"the CSeq of the ACK is {ack.cseq}, that of the INVITE {invite.cseq}")
    if ack.to.tag != "kit":
        raise Failed("the ACK does not carry the tag of the 200")
    if str(ack.uri).partition(";")[0] != end.contact.partition(";")[0]:
        raise Failed(f"the ACK is for {ack.uri}, and our Contact is {end.contact}")
    if ack.top_via.branch == invite.top_via.branch:
        raise Failed("the ACK to a 200 has the branch of the INVITE")
    yield from bye(end, invite)


@case(
    "UAC-12", "3261", "17.1.1.3", "ACK to a refusal: the branch of the INVITE; for each copy of it again", datagram=True
)
def refused(end: End) -> Script:
    invite = yield from called(end)
    busy = end.answer(invite, 486)
    for number in (1, 2):
        yield Send(bytes(busy))
        ack = yield from end.hear(lambda one: is_ack(invite, one), 2.0)
        if not isinstance(ack, Request):
            raise Failed("no ACK" if number == 1 else "no ACK to the copy of the 486")
        if ack.top_via.branch != invite.top_via.branch or ack.uri != invite.uri:
            raise Failed("the ACK to a refusal has not the branch and the Request-URI of its INVITE")


@case("UAC-13", "3261", "13.2.2.4", "each copy of the 200 gets an ACK", datagram=True)
def copies(end: End) -> Script:
    invite = yield from called(end)
    accepted = accept(end, invite)
    for number in (1, 2):
        yield Send(bytes(accepted))
        ack = yield from end.hear(lambda one: is_ack(invite, one), 2.0)
        if ack is None:
            raise Failed("no ACK" if number == 1 else "no ACK to the copy of the 200")
    yield from bye(end, invite)


@case(
    "UAC-14", "3261", "13.2.2.4", "a second 200 from somebody else gets an ACK; and a BYE, where only one call is kept"
)
def forked(end: End) -> Script:
    invite = yield from called(end)
    yield Send(bytes(accept(end, invite, tag="kit")))
    yield from acknowledged(end, invite)
    yield Send(bytes(accept(end, invite, tag="other")))
    ack = yield from end.hear(lambda one: is_ack(invite, one) and one.to.tag == "other", 2.0)
    if ack is None:
        raise Failed("no ACK to the second 200")
    ended = yield from end.hear(
        lambda one: isinstance(one, Request) and one.method == "BYE" and one.to.tag == "other", 2.0
    )
    if isinstance(ended, Request):
        yield Send(bytes(end.answer(ended, 200)))
    else:
        yield from bye(end, invite, "other")
    yield from bye(end, invite)


@case("UAC-20", "3261", "12.1.2", "the ACK takes the route that the 200 recorded")
def routes(end: End) -> Script:
    invite = yield from called(end)
    local = end.contact.partition("@")[2].partition(";")[0]
    rows = (("Record-Route", f"<sip:{local};lr;last>"), ("Record-Route", f"<sip:{local};lr;first>"))
    yield Send(bytes(accept(end, invite, more=rows)))
    ack = yield from acknowledged(end, invite)
    names = ["first" if "first" in str(route) else "last" for route in ack.routes]
    if names != ["first", "last"]:
        raise Failed(
            f"the routes of the ACK are {', '.join(map(str, ack.routes)) or 'none'}: not the recorded, reversed"
        )
    yield from bye(end, invite)


@case(
    "UAC-09", "3261", "17.1.1.2", "without an answer the INVITE is sent again, after pauses that double", datagram=True
)
def unanswered(end: End) -> Script:
    invite = yield from called(end)
    began = end.now

    def copy(message: Message) -> bool:
        return isinstance(message, Request) and message.method == "INVITE" and message.call_id == invite.call_id

    # A call that was under way before has done with some of its copies: what counts is that the pauses double.
    pauses: list[float] = []
    for number in (1, 2):
        if (yield from end.hear(copy, MAX_PAUSE)) is None:
            raise Failed(f"copy {number} of the INVITE did not come within {MAX_PAUSE:g} s")
        pauses.append(end.now - began)
        began = end.now
    first, second = pauses
    if first < T1 * 0.6 or not 1.6 * first <= second <= 2.4 * first:
        raise Failed(f"copies of the INVITE came after {first:.2f} s and {second:.2f} s more")
    yield Send(bytes(end.answer(invite, 486)))
    yield from acknowledged(end, invite)


@case("UAC-03", "3261", "8.1.3.2", "a refusal that nobody knows counts as that of its class")
def unknown_status(end: End) -> Script:
    invite = yield from called(end)
    yield Send(bytes(end.answer(invite, 499)))
    yield from acknowledged(end, invite)


@case("torture-big-status", "4475", "3.1.2.19", "a response of more than three digits is dropped")
def big_status(end: End) -> Script:
    invite = yield from called(end)
    yield Send(bytes(end.answer(invite, 200)).replace(b"SIP/2.0 200", b"SIP/2.0 4294967301", 1))
    yield Send(bytes(end.answer(invite, 486)))
    yield from acknowledged(end, invite)


@case("torture-reason", "4475", "3.1.1.12", "reason phrases that are odd, or empty")
def odd_reason(end: End) -> Script:
    invite = yield from called(end)
    odd = end.answer(invite, 180)
    odd.reason = ""
    yield Send(bytes(odd))
    odd.reason = "= 2**3 * 2**2 \u043d\u043e \u0441\u0442\u043e"
    yield Send(bytes(odd))
    yield Send(bytes(end.answer(invite, 486)))
    yield from acknowledged(end, invite)


@case("FOREIGN", "3261", "17.1.3", "a response with a branch of nobody is not taken for one of the INVITE")
def foreign_branch(end: End) -> Script:
    invite = yield from called(end)
    foreign = accept(end, invite, tag="stranger")
    foreign.headers.set("Via", f"{end.sent_by};branch=z9hG4bKnobody")
    yield Send(bytes(foreign))
    yield from end.quiet(lambda one: is_ack(invite, one), T1 / 2, "the target acknowledged a response to nobody")
    yield Send(bytes(end.answer(invite, 486)))
    yield from acknowledged(end, invite)


@case("DLG-13", "3261", "15.1.2", "our BYE gets 200, and a second one 481")
def bye_twice(end: End) -> Script:
    invite = yield from called(end)
    yield Send(bytes(accept(end, invite)))
    yield from acknowledged(end, invite)
    yield from bye(end, invite)
    rows = [("Via", end.via()), ("Max-Forwards", "70"), ("From", f"{invite.headers.get('To')};tag=kit")]
    rows += [("To", invite.headers.get("From") or ""), ("Call-ID", invite.call_id), ("CSeq", "2 BYE")]
    yield from end.expect(Request("BYE", invite.contacts[0].uri, rows), 481)
