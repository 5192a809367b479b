"""Telephone keys in SIP INFO (RFC 6086 carries them; their bodies were never standardised).

Two bodies are in use. `application/dtmf-relay` holds lines `Signal=5` and `Duration=160` (milliseconds);
`application/dtmf` holds the key alone. Gateways write `Signal= 5` too, and some give `*` and `#` as the event codes 10
and 11 of RFC 4733.
"""

from dataclasses import dataclass

from sansio_sip.errors import LocalProtocolError, ParseError

from .rfc4733 import DIGITS, check_digits

__all__ = ["DTMF", "DTMF_RELAY", "InfoDigit", "dtmf_body", "parse_info", "relay_body"]

DTMF_RELAY = "application/dtmf-relay"
DTMF = "application/dtmf"

_DEFAULT_DURATION_MS = 100  # where the body names none
_LONGEST_DURATION_MS = 60_000  # a key is not held longer; keeps the number small whatever was sent
_MAX_OCTETS = 256  # two short lines


@dataclass(frozen=True, slots=True)
class InfoDigit:
    """A key and how long it was held."""

    digit: str
    duration_ms: int


def relay_body(digit: str, duration_ms: int = _DEFAULT_DURATION_MS) -> bytes:
    """The body of an INFO of type `application/dtmf-relay`. Raises LocalProtocolError if `digit` is no key."""
    return f"Signal={_one(digit)}\r\nDuration={duration_ms}\r\n".encode()


def dtmf_body(digit: str) -> bytes:
    """The body of an INFO of type `application/dtmf`. Raises LocalProtocolError if `digit` is no key."""
    return _one(digit).encode()


def parse_info(content_type: str, body: bytes) -> InfoDigit:
    """Reads either body. Raises ParseError: status 415 for another type (RFC 3261 section 21.4.13), else 400."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (DTMF_RELAY, DTMF):
        raise ParseError(f"INFO of type {kind[:40]!r} is not known", status=415)
    if len(body) > _MAX_OCTETS:
        raise ParseError(f"DTMF body of {len(body)} octets; the limit is {_MAX_OCTETS}", status=400)
    text = body.decode("utf-8", "replace")
    if kind == DTMF:
        return InfoDigit(_key(text.strip()), _DEFAULT_DURATION_MS)
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            fields.setdefault(name.strip().lower(), value.strip())
    if "signal" not in fields:
        raise ParseError("DTMF body without Signal=", status=400)
    return InfoDigit(_key(fields["signal"]), _duration(fields.get("duration", "")))


def _one(digit: str) -> str:
    upper = check_digits(digit)
    if len(upper) != 1 or upper == ",":
        raise LocalProtocolError(f"one INFO carries one key, not {digit!r}; send one for each")
    return upper


def _key(text: str) -> str:
    if text.isascii() and text.isdigit() and len(text) == 2 and int(text) < len(DIGITS):
        return DIGITS[int(text)]
    upper = text.upper()
    if len(upper) != 1 or upper not in DIGITS:
        raise ParseError(f"{text[:20]!r} is not a key", status=400)
    return upper


def _duration(text: str) -> int:
    if not text:
        return _DEFAULT_DURATION_MS
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ParseError(f"duration {text[:20]!r} is not a number", status=400)
    return min(int(text), _LONGEST_DURATION_MS)
