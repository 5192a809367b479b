"""Header values of RFC 3891 (Replaces), RFC 4028 (session timers) and RFC 6665 (events), and sipfrag bodies."""

import re
from dataclasses import dataclass
from typing import Literal

from sansio_sip.errors import ParseError

from .message import Message
from .parameters import Parameters, Parametric, format_parameters, parse_parameters
from .status import reason_phrase

__all__ = ["Replaces", "SessionExpires", "SubscriptionState", "min_se_of", "read_fragment", "write_fragment"]

_SECONDS = re.compile(r"\s*(\d{1,10})\s*")
_STATUS_LINE = re.compile(rb"SIP/2\.0 ([1-6]\d\d)(?: |\r|\n|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SessionExpires(Parametric):
    """`Session-Expires: 1800;refresher=uac` (RFC 4028 section 4)."""

    seconds: int
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "SessionExpires":
        found = _SECONDS.match(text)
        if found is None:
            raise ParseError("Session-Expires begins with no number", offset=0, status=400)
        rest = text[found.end() :]
        return cls(int(found[1]), parse_parameters(rest) if rest else ())

    def __str__(self) -> str:
        return f"{self.seconds}{format_parameters(self.parameters)}"

    @property
    def refresher(self) -> Literal["uac", "uas"] | None:
        value = (self.parameter("refresher") or "").lower()
        return "uac" if value == "uac" else "uas" if value == "uas" else None

    @classmethod
    def of(cls, message: Message) -> "SessionExpires | None":
        """That of a message. Raises ParseError."""
        text = message.headers.get("Session-Expires")
        return cls.parse(text) if text is not None else None


def min_se_of(message: Message) -> int:
    """Min-SE in seconds; 0 where there is none that can be read (RFC 4028 section 5)."""
    found = _SECONDS.match(message.headers.get("Min-SE") or "")
    return int(found[1]) if found is not None else 0


@dataclass(frozen=True, slots=True)
class Replaces(Parametric):
    """`Replaces: call-id;to-tag=a;from-tag=b`: the dialog as its recipient knows it; `to_tag` is her own tag."""

    call_id: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "Replaces":
        call_id, separator, rest = text.strip().partition(";")
        replaces = cls(call_id.strip(), parse_parameters(separator + rest) if separator else ())
        # RFC 3891 section 6.1: "A Replaces header field MUST contain exactly one to-tag and exactly one from-tag".
        names = [name.lower() for name, _ in replaces.parameters]
        if not replaces.call_id or names.count("to-tag") != 1 or names.count("from-tag") != 1:
            raise ParseError("Replaces names no dialog", status=400)
        return replaces

    @classmethod
    def of_dialog(cls, call_id: str, to_tag: str, from_tag: str) -> "Replaces":
        return cls(call_id, (("to-tag", to_tag), ("from-tag", from_tag)))

    def __str__(self) -> str:
        return f"{self.call_id}{format_parameters(self.parameters)}"

    @property
    def to_tag(self) -> str:
        return self.parameter("to-tag") or ""

    @property
    def from_tag(self) -> str:
        # RFC 3891 section 3: "to-tag=0" and "from-tag=0" stand for dialogs with a peer of RFC 2543, who has no tag.
        tag = self.parameter("from-tag") or ""
        return "" if tag == "0" else tag

    @property
    def early_only(self) -> bool:
        return self.has_parameter("early-only")

    @classmethod
    def of(cls, message: Message) -> "Replaces | None":
        """That of a message. Raises ParseError where there are several, or one that cannot be read."""
        rows = message.headers.get_all("Replaces")
        if not rows:
            return None
        if len(rows) > 1:
            raise ParseError("more than one Replaces", status=400)
        return cls.parse(rows[0])


@dataclass(frozen=True, slots=True)
class SubscriptionState(Parametric):
    """`Subscription-State: active;expires=60` (RFC 6665 section 8.2.3); `state` in lower case."""

    state: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "SubscriptionState":
        state, separator, rest = text.strip().partition(";")
        if not state.strip():
            raise ParseError("Subscription-State is empty", status=400)
        return cls(state.strip().lower(), parse_parameters(separator + rest) if separator else ())

    def __str__(self) -> str:
        return f"{self.state}{format_parameters(self.parameters)}"

    def seconds(self, name: str) -> int | None:
        """`expires` or `retry-after`."""
        found = _SECONDS.fullmatch(self.parameter(name) or "")
        return int(found[1]) if found is not None else None

    @classmethod
    def of(cls, message: Message) -> "SubscriptionState":
        """That of a NOTIFY. Raises ParseError."""
        return cls.parse(message.headers.get("Subscription-State") or "")


def read_fragment(body: bytes) -> int | None:
    """The status in a `message/sipfrag` body (RFC 3420), None where it starts with no status line."""
    found = _STATUS_LINE.match(body.lstrip())
    return int(found[1]) if found is not None else None


def write_fragment(status: int) -> bytes:
    return f"SIP/2.0 {status} {reason_phrase(status)}\r\n".encode()
