"""Messages that wait (RFC 3842): the body of a NOTIFY of the package `message-summary`."""

import re
from dataclasses import dataclass

from sansio_sip.errors import ParseError

__all__ = ["CONTENT_TYPE", "MessageSummary", "Waiting"]

CONTENT_TYPE = "application/simple-message-summary"

MAX_CLASSES = 16
"""Kinds of messages that are read; the RFC knows six."""

_COUNTS = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*(?:\(\s*(\d{1,9})\s*/\s*(\d{1,9})\s*\)\s*)?")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages of one kind: `voice-message`, `fax-message`... The urgent ones are among the others."""

    kind: str
    new: int
    old: int
    new_urgent: int = 0
    old_urgent: int = 0


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """Whether there is anything new, whose mailbox it is, and how many of each kind."""

    waiting: bool
    account: str = ""
    messages: tuple[Waiting, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> "MessageSummary":
        """Raises ParseError where it does not begin with `Messages-Waiting`."""
        lines = body.decode("utf-8", "replace").splitlines()
        name, _, value = lines[0].partition(":") if lines else ("", "", "")
        status = value.strip().lower()
        if name.strip().lower() != "messages-waiting" or status not in ("yes", "no"):
            raise ParseError("no Messages-Waiting line", offset=0)
        account = ""
        found: list[Waiting] = []
        for line in lines[1:]:
            name, separator, value = line.partition(":")
            if not separator:
                break  # what follows an empty line are headers of single messages
            if name.strip().lower() == "message-account":
                account = value.strip()
            elif (counts := _COUNTS.fullmatch(value)) is not None and len(found) < MAX_CLASSES:
                found.append(Waiting(name.strip().lower(), *(int(count or "0") for count in counts.groups())))
        return cls(status == "yes", account, tuple(found))
