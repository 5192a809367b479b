"""Bodies of messages: where the session description is, bare or among the parts of a multipart body.

RFC 3261 section 13 knows one body that matters to a session, `application/sdp`. RFC 5621 section 3 asks that a user
agent also finds it in `multipart/mixed`, as gateways and mail-like clients wrap it; RFC 2046 section 5.1 says how.
"""

from sansio_sip.errors import ParseError

from .call_events import HeaderRows
from .headers import MediaType
from .message import Message

__all__ = ["ACCEPTED_TYPES", "MAX_PARTS", "description_headers", "description_of", "readable_description"]

ACCEPTED_TYPES = ("application/sdp", "application/dtmf-relay", "application/dtmf", "message/sipfrag", "text/plain")
"""What `Accept` says."""

MAX_PARTS = 16
"""Parts of one multipart body that are looked at; real ones have two or three."""


def description_headers(description: bytes) -> HeaderRows:
    """The rows that go with a body of ours; none where it is empty."""
    return (("Content-Type", "application/sdp"),) if description else ()


def description_of(message: Message) -> bytes | None:
    """The session description that a message carries, octet for octet; None where it has no body.

    Raises:
        ParseError: status 415 where the body is of a kind that we do not know and must, 400 where it is broken.
    """
    if not message.body:
        return None
    encoding = message.headers.get("Content-Encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise ParseError(f"Content-Encoding {encoding!r} is not known", status=415)
    media_type = message.content_type
    if media_type is None:
        # RFC 3261 section 20.15: "The Content-Type header field MUST be present if the body is not empty."
        raise ParseError("a body without Content-Type", status=415)
    name = media_type.essence
    if name == "application/sdp":
        return message.body
    if name.startswith("multipart/"):
        found = _find_part(message.body, media_type)
        if found is not None:
            return found
    # RFC 3261 section 20.11: "handling=optional": a body that may be passed over.
    disposition = (message.headers.get("Content-Disposition") or "").lower().replace(" ", "")
    if "handling=optional" in disposition:
        return None
    raise ParseError(f"a body of type {name} is not known", status=415)


def readable_description(message: Message) -> bytes | None:
    """As `description_of`, but what cannot be read is as if it were not there."""
    try:
        return description_of(message)
    except ParseError:
        return None


def _find_part(body: bytes, media_type: MediaType) -> bytes | None:
    boundary = media_type.parameter("boundary")
    if not boundary:
        raise ParseError("a multipart body without boundary", status=400)
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    # The first delimiter may open the body, with no line break before it.
    pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        head, separator, content = piece.partition(b"\r\n\r\n")
        if not separator:
            continue
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            kind = value.partition(b";")[0].strip().lower()
            if name.strip().lower() in (b"content-type", b"c") and kind == b"application/sdp":
                return content
    return None
