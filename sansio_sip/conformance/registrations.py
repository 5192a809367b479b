"""Cases for a registrar: RFC 3261 section 10.3, and the flows of RFC 3665 section 2."""

from collections.abc import Generator
from typing import Final

from sansio_sip.context import Secret
from sansio_sip.sip.authorization import Answered
from sansio_sip.sip.headers import NameAddress, seconds
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.uri import SipUri

from .case import Case, adds_to
from .end import End, Target, named
from .script import Failed, Heard, NotApplicable, Role, Script, Send, Step

__all__ = ["CASES"]

CASES: Final[list[Case]] = []
case = adds_to(CASES, Role.REGISTRAR)

OTHER: Final = "sip:kit-other@192.0.2.77:5066"  # RFC 5737: an address of nobody


def register(
    end: End, *contacts: str, expires: int | None = 600, call_id: str = "", cseq: int = 1, **more: str
) -> Request:
    """A REGISTER for the target's address, with these contacts."""
    target = end.target.uri
    address = f"<{SipUri(target.host, target.user)}>"
    rows = [("From", f"{address};tag={end.tag()}"), ("To", more.pop("to", address))]
    rows += [("Expires", str(expires))] if expires is not None else []
    rows += [(name.replace("_", "-"), value) for name, value in more.items()]
    request = end.request("REGISTER", *rows, uri=f"sip:{target.host}", call_id=call_id, cseq=cseq)
    request.headers.remove("Contact")
    for contact in contacts:
        request.headers.add("Contact", contact)
    return request


def accepted(end: End, request: Request) -> Generator[Step, Heard, Response]:
    response = yield from end.authorized(request)
    if response.status != 200:
        raise Failed(f"REGISTER got {named(response)}, not 200")
    return response


def bindings(response: Response) -> dict[str, NameAddress]:
    """The contacts of a 200, without their URI parameters, which a registrar may add to."""
    return {str(contact.uri).partition(";")[0]: contact for contact in response.contacts}


def own(end: End) -> str:
    return end.contact.partition(";")[0]


def clear(end: End) -> Script:
    """Leaves no binding behind."""
    yield from end.authorized(register(end, "*", expires=0))


@case("REG-22a", "3665", "2.1", "a new registration: the 200 lists the contact, with the time that is left")
def new(end: End) -> Script:
    response = yield from accepted(end, register(end, f"<{end.contact}>"))
    found = bindings(response).get(own(end))
    if found is None:
        raise Failed("the 200 does not list the contact")
    if not 0 < seconds(found.parameter("expires") or response.headers.get("Expires") or "0") <= 600:
        raise Failed("the 200 does not say for how long, or for longer than asked")
    yield from clear(end)


@case("REG-22b", "3665", "2.2", "a second contact is added to the first")
def update(end: End) -> Script:
    call_id = end.call_id()
    yield from accepted(end, register(end, f"<{end.contact}>", call_id=call_id))
    response = yield from accepted(end, register(end, f"<{OTHER}>", call_id=call_id, cseq=10))
    if not {own(end), OTHER} <= set(bindings(response)):
        yield from clear(end)
        raise NotApplicable("the registrar keeps one contact of an address")
    yield from clear(end)


@case("REG-22c", "3665", "2.3", "REGISTER without Contact lists the bindings, and changes none")
def query(end: End) -> Script:
    yield from accepted(end, register(end, f"<{end.contact}>"))
    response = yield from accepted(end, register(end, expires=None))
    if own(end) not in bindings(response):
        raise Failed("the contact is not listed")
    yield from clear(end)


@case("REG-22d", "3665", "2.4", "Contact: * with Expires: 0 takes all bindings away")
def cancel(end: End) -> Script:
    yield from accepted(end, register(end, f"<{end.contact}>"))
    response = yield from accepted(end, register(end, "*", expires=0))
    if response.contacts:
        raise Failed("the 200 lists a contact still")
    response = yield from accepted(end, register(end, expires=None))
    if response.contacts:
        raise Failed("a contact is there still")


@case("REG-22e", "3665", "2.5", "a wrong password is refused")
def wrong_password(end: End) -> Script:
    if end.target.password == Secret(""):
        raise NotApplicable("no password was given, so none can be wrong")
    right = end.target
    end.target = Target(right.role, right.uri, Secret("not the password"), right.timeout)
    response = yield from end.authorized(register(end, f"<{end.contact}>"))
    end.target = right
    if response.status not in (401, 403, 407):
        raise Failed(f"got {named(response)}")


@case("REG-challenge", "7616", "3.3", "a challenge has realm and nonce")
def challenge(end: End) -> Script:
    response = yield from end.ask(register(end, f"<{end.contact}>"))
    if response.status not in (401, 407):
        raise NotApplicable(f"no challenge: {named(response)}")
    for row in response.www_authenticate or response.proxy_authenticate:
        if row.parameter("realm") is None or not row.parameter("nonce"):
            raise Failed("a challenge without realm or nonce")


@case("REG-star", "3261", "10.3", "Contact: * with another Expires than 0: 400")
def star(end: End) -> Script:
    response = yield from end.authorized(register(end, "*", expires=60))
    if response.status != 400:
        raise Failed(f"got {named(response)}, not 400")


@case("REG-star-list", "3261", "10.3", "Contact: * beside another contact: 400")
def star_beside(end: End) -> Script:
    yield Send(bytes(register(end, f"<{end.contact}>", expires=0)).replace(b"Contact: ", b"Contact: *, ", 1))
    answer = yield from end.any_final(end.target.timeout)
    if answer is None:
        yield from end.silence()
    status = answer if isinstance(answer, int) else answer.status if answer is not None else 0
    if status not in (400, 401, 407):
        raise Failed(f"got {status}, not 400")


@case("REG-order", "3261", "10.3", "an older CSeq of the same Call-ID changes nothing")
def older(end: End) -> Script:
    call_id = end.call_id()
    yield from accepted(end, register(end, f"<{end.contact}>", call_id=call_id, cseq=100))
    response = yield from end.authorized(register(end, f"<{end.contact}>", expires=0, call_id=call_id, cseq=5))
    found = yield from accepted(end, register(end, expires=None))
    if own(end) not in bindings(found):
        raise Failed(f"an older REGISTER ({named(response)}) took the binding away")
    yield from clear(end)


@case("REG-parameter", "3261", "10.2.1.1", "the expires of a contact goes before the Expires header")
def parameter(end: End) -> Script:
    response = yield from accepted(end, register(end, f"<{end.contact}>;expires=300", expires=3000))
    found = bindings(response).get(own(end))
    if found is None or seconds(found.parameter("expires") or "3000") > 300:
        raise Failed("the expires of the contact does not count")
    yield from clear(end)


@case("REG-18", "3261", "10.2.2", "expires=0 takes that contact away, and no other")
def remove_one(end: End) -> Script:
    response = yield from accepted(end, register(end, f"<{end.contact}>", f"<{OTHER}>"))
    if len(bindings(response)) < 2:
        yield from clear(end)
        raise NotApplicable("the registrar keeps one contact of an address")
    response = yield from accepted(end, register(end, f"<{OTHER}>;expires=0"))
    if set(bindings(response)) != {own(end)}:
        raise Failed(f"left are {', '.join(bindings(response)) or 'none'}")
    yield from clear(end)


@case("REG-09", "3261", "10.3", "a time that is too short is refused with 423 and Min-Expires, or lengthened")
def brief(end: End) -> Script:
    response = yield from end.authorized(register(end, f"<{end.contact}>", expires=1))
    if response.status == 423 and response.min_expires is None:
        raise Failed("423 without Min-Expires")
    if response.status not in (200, 423):
        raise Failed(f"got {named(response)}")


@case("REG-require", "3261", "10.3", "REGISTER that requires what nobody has: 420")
def requires(end: End) -> Script:
    response = yield from end.authorized(register(end, f"<{end.contact}>", Require="nobody-a"))
    if response.status != 420 or "nobody-a" not in response.unsupported:
        raise Failed(f"got {named(response)}, and Unsupported lists {', '.join(response.unsupported) or 'nothing'}")


@case("REG-domain", "3261", "10.3", "an address of another domain is not registered here: 404", level="SHOULD")
def foreign(end: End) -> Script:
    response = yield from end.authorized(register(end, f"<{end.contact}>", to="<sip:nobody@nowhere.invalid>"))
    if response.status < 300:
        raise Failed("the address of a foreign domain was registered")


@case("REG-contact", "4475", "3.1.2.13", "a Contact with headers outside of <>: 400", level="SHOULD")
def bad_contact(end: End) -> Script:
    yield Send(bytes(register(end, "sip:kit@192.0.2.1?Route=%3Csip:sip.example.com%3E")))
    answer = yield from end.any_final(end.target.timeout)
    if answer is None:
        yield from end.silence()
    status = answer if isinstance(answer, int) else answer.status if answer is not None else 0
    if status not in (400, 401, 407):
        raise Failed(f"got {status}, not 400")


@case("REG-parameters", "4475", "3.3.14", "parameters of a Contact URI are kept")
def contact_parameters(end: End) -> Script:
    response = yield from accepted(end, register(end, f"<{OTHER};unknownparam>"))
    yield from clear(end)
    if not any("unknownparam" in str(contact.uri) for contact in response.contacts):
        raise Failed("the parameter of the Contact URI is gone")


@case("REG-again", "3261", "17.2.2", "a copy of a REGISTER gets a copy of its response", datagram=True)
def copy(end: End) -> Script:
    request = register(end, expires=None)
    first = yield from end.ask(request)
    second = yield from end.ask(request)
    if first.status != second.status or first.to.tag != second.to.tag:
        raise Failed(f"first {named(first)}, then {named(second)}")


# Calls by way of the server: RFC 3665 section 3.2


@case(
    "PROXY-call",
    "3665",
    "3.2",
    "a call to the registered address arrives: Via on top, one hop less, and its answers go back",
)
def proxied(end: End) -> Script:
    yield from accepted(end, register(end, f"<{end.contact}>"))
    address = str(SipUri(end.target.uri.host, end.target.uri.user))
    invite = end.request("INVITE", ("From", f"<{address}>;tag={end.tag()}"), uri=address, body=end.offer())
    arrived = yield from _through(end, invite)
    if arrived is None:
        yield from clear(end)
        raise NotApplicable("the server passes no call on")
    sent, received = arrived
    yield Send(bytes(end.answer(received, 486, tag="callee")))
    answer = yield from end.hear(
        lambda one: isinstance(one, Response) and one.status >= 200 and one.top_via.branch == sent.top_via.branch, 5.0
    )
    if isinstance(answer, Response):
        yield Send(bytes(end.ack_refusal(sent, answer)))
    yield from clear(end)
    if (received.max_forwards or 0) >= (sent.max_forwards or 0):
        raise Failed(f"Max-Forwards went from {sent.max_forwards} to {received.max_forwards}")
    if len(received.via) < 2 or received.via[-1].branch != sent.top_via.branch:
        raise Failed("the Via headers are not those of the sender with one on top")
    if not isinstance(answer, Response) or answer.status != 486:
        raise Failed(f"486 of the callee came back as {named(answer) if isinstance(answer, Response) else 'nothing'}")


def _through(end: End, invite: Request) -> Generator[Step, Heard, tuple[Request, Request] | None]:
    """The INVITE as it was sent at last, and as it came; None where the server refuses it."""
    authenticator, answered = end.authenticator(), Answered()
    while True:
        yield Send(bytes(invite))
        heard = yield from end.hear(
            lambda one: (
                (isinstance(one, Request) and one.method == "INVITE")
                or (isinstance(one, Response) and one.status >= 200 and one.cseq.method == "INVITE")
            ),
            5.0,
        )
        if isinstance(heard, Request):
            return invite, heard
        if not isinstance(heard, Response):
            return None
        yield Send(bytes(end.ack_refusal(invite, heard)))
        again = authenticator.authorize(invite, heard, answered) if heard.status in (401, 407) else None
        if again is None:
            return None
        again.headers.set("CSeq", f"{invite.cseq.number + 1} INVITE")
        again.headers.set("Via", end.via())
        invite = again
