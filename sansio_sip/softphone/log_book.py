"""What a client writes into its log: levels, who and which call in each line, no secret in any, the last lines kept."""

import re
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from .events import LogLine

__all__ = ["ALL", "DEBUG", "ERROR", "INFO", "LEVELS", "WARNING", "LogBook", "redacted"]

# Levels of `logging`, which the core does not import; ALL is below its DEBUG.
ALL, DEBUG, INFO, WARNING, ERROR, OFF = 5, 10, 20, 30, 40, 100

LEVELS: Mapping[str, int] = MappingProxyType(
    {"OFF": OFF, "ERROR": ERROR, "WARN": WARNING, "INFO": INFO, "DEBUG": DEBUG, "ALL": ALL}
)
"""The reference's levels; OFF lets nothing through."""

NAMES: Mapping[int, str] = MappingProxyType({level: name for name, level in LEVELS.items()})

MAX_LINES = 900  # as the reference keeps for feedback
MAX_LINE = 8_000  # characters: a SIP message with its SDP

SECRETS = (
    # The response of a digest, and all of a Basic or Bearer credential.
    re.compile(r'(?i)(\bresponse\s*=\s*")[^"]*'),
    re.compile(r"(?im)^((?:proxy-)?authorization\s*:\s*(?:basic|bearer)\s+)\S+"),
    re.compile(r"(?im)^(x-plivo-jwt[ \t]*:[ \t]*)(?!exp=|[ \t])[^\r\n]*"),
    # A token wherever it stands: a JSON object in base64url begins so.
    re.compile(r"(\beyJ)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(r"(?im)^(a=crypto:\S+\s+\S+\s+inline:)\S+"),
    re.compile(r"(?im)^(a=ice-pwd:)\S+"),
    # Keys pressed: a PIN or a card number.
    re.compile(r"(?im)^(Signal\s*=\s*)[0-9A-D#*]"),
)


def redacted(text: str) -> str:
    """The text without passwords' proofs, tokens, keys and digits."""
    for pattern in SECRETS:
        text = pattern.sub(lambda match: f"{match[1]}***", text)
    return text


class LogBook:
    """Makes lines, and keeps the last of them whatever the level.

    Attributes:
        level: lines below it are kept and not given out.
        identifier: names the client among several (reference: setIdentifier).
    """

    def __init__(self, level: int, identifier: str) -> None:
        self.level = level
        self.identifier = identifier
        self._lines: deque[str] = deque(maxlen=MAX_LINES)

    def write(self, level: int, text: str, *, user: str, call: str, unix_time: float) -> LogLine | None:
        """Keeps a line; gives it as an event where the level lets it through."""
        text = redacted(text)[:MAX_LINE]
        at = datetime.fromtimestamp(max(0.0, unix_time), UTC)
        who = " ".join(part for part in (user, call) if part) or "-"
        stamp = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
        self._lines.append(f"[{stamp}] sansio_sip: {who} [{NAMES.get(level, level)}] [{self.identifier}] {text}")
        if level < self.level:
            return None
        return LogLine(level, text, self.identifier, call)

    def lines(self) -> tuple[str, ...]:
        """The last lines, oldest first."""
        return tuple(self._lines)
