"""The verdict on one SIP message: does it match the grammar, and what would a user agent answer?

A message that the parser takes may still have a malformed header that nobody has looked at. `check_headers` looks at
each header that has a typed view. `judge` says both things of a message: whether it is valid, and, if it is, what a
user agent that is no registrar answers before it even looks for the call (RFC 3261 section 8.2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from sansio_sip.errors import ParseError

from .grammar import DATE, WARNING
from .headers import split_list
from .message import Message, Request, Response
from .parser import header_offset, parse_message
from .status import reason_phrase

__all__ = ["KNOWN_METHODS", "Verdict", "check_headers", "judge"]

KNOWN_METHODS: Final = frozenset(
    (
        *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "PRACK", "UPDATE"),
        *("SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "PUBLISH"),
    )
)
"""The methods of the IANA registry. One that is not here is not implemented (501), the others may be not allowed."""

_ALLOWED: Final = KNOWN_METHODS - {"REGISTER", "PUBLISH", "SUBSCRIBE"}
_EXTENSIONS: Final = frozenset(("outbound", "path", "gruu", "replaces", "100rel", "timer", "norefersub"))
_BODIES: Final = {
    "INVITE": ("application/sdp",),
    "PRACK": ("application/sdp",),
    "UPDATE": ("application/sdp",),
    "MESSAGE": ("text/plain",),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `sansio-sip parse` says of a message.

    Attributes:
        verdict: whether it matches the grammar.
        kind: "request METHOD", "response STATUS", or "" where not even that can be told.
        status: of an invalid one, the response that RFC 3261 asks for; 0: none, drop it.
        reason: what is wrong with an invalid one.
        offset: where, in octets.
        ua_status: of a valid request, the error that a user agent answers with; 0: it goes on with the request.
        ua_reason: its reason phrase, and what it is about.
    """

    verdict: Literal["valid", "invalid"]
    kind: str
    status: int = 0
    reason: str = ""
    offset: int = 0
    ua_status: int = 0
    ua_reason: str = ""


def _dates(rows: tuple[str, ...]) -> None:
    if len(rows) != 1 or DATE.fullmatch(rows[0]) is None:
        raise ParseError("bad Date", status=400)


def _warnings(rows: tuple[str, ...]) -> None:
    if any(WARNING.fullmatch(element) is None for row in rows for element in split_list(row)):
        raise ParseError("bad Warning", status=400)


_OTHERS: Final[dict[str, Callable[[tuple[str, ...]], None]]] = {"date": _dates, "warning": _warnings}


class HeaderError(ParseError):
    """A malformed header: its key, and the offset within its value."""

    def __init__(self, key: str, error: ParseError) -> None:
        super().__init__(f"{key}: {error.reason}", offset=error.offset, status=error.status)
        self.key = key


def check_headers(message: Message) -> None:
    """Reads each header that has a typed view, and the others whose grammar RFC 4475 tests.

    Raises:
        HeaderError: one is malformed.
    """
    readers = message.READERS
    for key in message.headers.keys():  # noqa: SIM118  # iterating gives the rows
        try:
            if key in readers:
                message.headers.typed(key, readers[key])
            elif key in _OTHERS:
                _OTHERS[key](message.headers.get_all(key))
        except ParseError as error:
            raise HeaderError(key, error) from None


def judge(data: bytes) -> Verdict:
    """The verdict on the octets of one datagram or WebSocket message."""
    try:
        message = parse_message(data)
    except ParseError as error:
        return Verdict("invalid", _kind_of(data), error.status, error.reason, error.offset)
    kind = f"request {message.method}" if isinstance(message, Request) else f"response {message.status}"
    try:
        check_headers(message)
    except HeaderError as error:
        # A response is never answered, nor is an ACK.
        status = 0 if isinstance(message, Response) or message.method == "ACK" else error.status
        return Verdict("invalid", kind, status, error.reason, header_offset(data, error.key, error.offset))
    if isinstance(message, Response) or message.method == "ACK":
        return Verdict("valid", kind)
    status, about = _answer(message)
    reason = f"{reason_phrase(status)}: {about}" if status else ""
    return Verdict("valid", kind, ua_status=status, ua_reason=reason)


def _answer(request: Request) -> tuple[int, str]:
    """What RFC 3261 section 8.2 asks to check first, in its order: method, Request-URI, Require, content."""
    if request.method not in KNOWN_METHODS:
        return 501, request.method
    if request.method not in _ALLOWED:
        return 405, request.method
    if request.uri.scheme.lower() not in ("sip", "sips", "tel"):
        return 416, request.uri.scheme
    # Section 8.2.2.3: "If a UAS does not understand an option-tag listed in a Require header field, it MUST respond
    # by generating a response with status code 420". CANCEL is exempt.
    missing = [tag for tag in request.require if tag.lower() not in _EXTENSIONS]
    if missing and request.method != "CANCEL":
        return 420, ", ".join(missing)
    content = request.content_type
    bodies = _BODIES.get(request.method)
    if content is not None and request.body and bodies is not None and content.essence not in bodies:
        return 415, content.essence
    if request.method == "INVITE" and "accept" in request.headers:
        ranges = [media.essence for media in request.accept]
        if not any(one in ranges for one in ("application/sdp", "application/*", "*/*")):
            return 406, "application/sdp is not in Accept"
    return 0, ""


def _kind_of(data: bytes) -> str:
    """The kind of a message that cannot be parsed, as far as its first line shows it."""
    words = data.lstrip(b"\r\n")[:256].split(b"\n")[0].decode("utf-8", "replace").split()
    if len(words) < 2 or not any(word.upper().startswith("SIP/") for word in words):
        return ""
    return f"response {words[1]}" if words[0].upper().startswith("SIP/") else f"request {words[0]}"
