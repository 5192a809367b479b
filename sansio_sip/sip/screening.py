"""What a user agent refuses before anybody looks at a request (RFC 3261 section 8.2), as pure functions."""

from collections.abc import Collection

from sansio_sip.errors import ParseError

from .body import ACCEPTED_TYPES
from .call_events import HeaderRows
from .headers import NameAddress, Reason
from .identity import ALLOWED_METHODS, KNOWN_METHODS
from .message import Headers, Message, Request, Response
from .status import reason_phrase
from .uri import SipUri

__all__ = ["Refusal", "check_headers", "content_headers", "readable_reason", "refusal_of_malformed", "refuse"]

Refusal = tuple[int, HeaderRows]
"""A status, and the headers that go with it."""

MAX_ECHO = 8192
"""Octets of one header row that are sent back in the refusal of a damaged request: a refusal must not be larger than
its cause by much, and an address that may be forged gets it."""

_ECHOED = {"via": "Via", "v": "Via", "from": "From", "f": "From", "to": "To", "t": "To", "call-id": "Call-ID",
           "i": "Call-ID", "cseq": "CSeq"}  # fmt: skip


def check_headers(message: Message) -> None:
    """Reads each header that a session or registration may ask for later, so that none of them raises there.

    Raises:
        ParseError: one cannot be read.
    """
    _ = (message.contacts, message.record_routes, message.routes, message.content_type, message.expires)
    _ = (message.require, message.supported, message.allow)


def refuse(request: Request, supported: Collection[str]) -> Refusal | None:
    """Why a request is not to be processed; None where it is. The checks stand in the order of the RFC.

    `supported`: the option tags that we know.
    """
    if request.method == "ACK":
        return None
    try:
        check_headers(request)
    except ParseError as error:
        return error.status or 400, ()
    # Section 8.2.1: "If the UAS recognizes but does not support the method of a request, it MUST generate a 405
    # (Method Not Allowed) response. [...] The UAS MUST also add an Allow header field to the 405". Section 21.5.2: "501
    # [...] is the appropriate response when a UAS does not recognize the request method".
    if request.method not in ALLOWED_METHODS:
        status = 405 if request.method in KNOWN_METHODS else 501
        return status, (("Allow", ", ".join(ALLOWED_METHODS)),)
    # Section 8.2.2.1: "If the Request-URI uses a scheme not supported by the UAS, it SHOULD reject the request with a
    # 416 (Unsupported URI Scheme) response." Whose name stands in it is no reason to refuse: what reaches this
    # device was routed to it, and a trunk puts the number that was dialled there.
    if not isinstance(request.uri, SipUri):
        return 416, ()
    # Section 8.2.2.3: "If a UAS does not understand an option-tag listed in a Require header field, it MUST respond
    # by generating a response with status code 420 (Bad Extension). The UAS MUST add an Unsupported header field,
    # and list in it those options it does not understand". "Note that Require and Proxy-Require MUST NOT be used in
    # a SIP CANCEL request, or in an ACK request [...]. These header fields MUST be ignored if they are present".
    if request.method != "CANCEL":
        unknown = [option for option in request.require if option.lower() not in supported]
        if unknown:
            return 420, (("Unsupported", ", ".join(unknown)),)
    return None


def content_headers(status: int) -> HeaderRows:
    """Section 8.2.3: a 415 lists what would have been taken."""
    if status != 415:
        return ()
    return (("Accept", ", ".join(ACCEPTED_TYPES)), ("Accept-Encoding", "identity"))


def readable_reason(message: Message) -> Reason | None:
    """The Reason header (RFC 3326). One that cannot be read is no reason to refuse anything."""
    try:
        return message.reason_header
    except ParseError:
        return None


def refusal_of_malformed(data: bytes, error: ParseError, to_tag: str) -> Response | None:
    """The response to a request that could not be read; None where none can or may be given.

    RFC 3261 section 16.3 and RFC 4475 want a 400 wherever the rows that make up a response can be found. Those are
    taken from the text as they stand, so that the sender recognises its own.
    """
    if not error.status:
        return None
    head = data.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
    lines = head.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    start = lines[0].lstrip().upper()
    if start.startswith(("SIP/", "ACK ")):
        return None
    headers = Headers()
    for line in lines[1:]:
        name, _, value = line.partition(":")
        echoed = _ECHOED.get(name.strip().lower())
        if echoed is None or len(value) > MAX_ECHO or (echoed != "Via" and echoed in headers):
            continue
        value = value.strip()
        if echoed == "To" and not _has_tag(value):
            value = f"{value};tag={to_tag}"
        try:
            headers.add(echoed, value)
        except ValueError:
            return None
    # Without these a response finds no transaction at its destination.
    if not all(name in headers for name in ("Via", "From", "To", "Call-ID", "CSeq")):
        return None
    if "ACK" in (headers.get("CSeq") or "").upper().split():
        return None
    phrase = reason_phrase(error.status)
    return Response(error.status, phrase, headers)


def _has_tag(value: str) -> bool:
    try:
        return NameAddress.parse(value).tag is not None
    except ParseError:
        return ";tag=" in value.lower().replace(" ", "")
