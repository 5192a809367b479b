"""Keys of SRTP in the description itself: `a=crypto` (RFC 4568, RFC 7714 section 14.1).

Whoever reads the description has the keys, so this belongs on signalling that is encrypted, and is used only where an
account names it.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from sansio_sip.context import Secret
from sansio_sip.errors import ParseError

__all__ = ["SUITES", "CryptoAttribute", "choose_crypto", "usable_crypto"]

SUITES = {"AES_CM_128_HMAC_SHA1_80": 30, "AEAD_AES_128_GCM": 28}
"""The suites we know, and the octets of their master key and salt."""

_SYNTAX = re.compile(
    # Section 9.1: tag, suite, one or more key parameters, session parameters.
    r"(?P<tag>[0-9]{1,9})[ \t]+(?P<suite>[A-Za-z0-9_]{1,64})[ \t]+"
    # "inline:" <key||salt> ["|" lifetime] ["|" MKI ":" length]
    r"(?i:inline):(?P<key>[A-Za-z0-9+/]{1,128}={0,2})(?:\|(?P<lifetime>(?:2\^)?[0-9]{1,15}))?"
    r"(?P<session>(?:[ \t]+[^ \t;]+)*)[ \t]*"
)

# Section 6.3.7: a hint about the replay window, which an endpoint may ignore.
_HARMLESS = re.compile(r"(?i)WSH=[0-9]+")

# A peer offers some suites, once each with and without this or that; nobody needs more.
_MAX_LINES = 16


def _fail(reason: str) -> ParseError:
    return ParseError(reason, status=488)


@dataclass(frozen=True, slots=True)
class CryptoAttribute:
    """One `a=crypto` line that we can honour: one master key, no MKI, protection of everything.

    Attributes:
        tag: which line of the offer this is, or answers.
        suite: of `SUITES`.
        key: master key and salt, base64 as on the line.
    """

    tag: int
    suite: str
    key: Secret

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ParseError for what is malformed, and for what we could not honour: section 5.1.2 has such a line
        passed over. A lifetime is passed over itself: no call reaches 2^48 packets.
        """
        match = _SYNTAX.fullmatch(text)
        if match is None:
            raise _fail("crypto is not TAG SUITE inline:KEY, with one key and no MKI")
        suite = match["suite"].upper()
        if suite not in SUITES:
            raise _fail(f"crypto suite {suite[:40]} is not known")
        for parameter in match["session"].split():
            # "UNENCRYPTED_SRTP", "FEC_KEY" and whatever else changes what is on the wire.
            if not _HARMLESS.fullmatch(parameter):
                raise _fail(f"crypto session parameter {parameter[:40]!r} cannot be honoured")
        key = Secret(match["key"])
        line = cls(int(match["tag"]), suite, key)
        if len(line.octets()) != SUITES[suite]:
            raise _fail(f"crypto key of {len(line.octets())} octets, not {SUITES[suite]}")
        return line

    def octets(self) -> bytes:
        """Master key and salt, one after the other. Raises ParseError where the key is no base64."""
        try:
            return base64.b64decode(self.key.reveal(), validate=True)
        except binascii.Error:
            raise _fail("crypto key is no base64") from None

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:{self.key.reveal()}"


def usable_crypto(lines: Iterable[str]) -> tuple[CryptoAttribute, ...]:
    """Those of a section's `a=crypto` values that we can honour, in their order of preference."""
    usable = []
    for text in list(lines)[:_MAX_LINES]:
        try:
            usable.append(CryptoAttribute.parse(text))
        except ParseError:
            continue
    return tuple(usable)


def choose_crypto(
    offered: tuple[CryptoAttribute, ...], own: tuple[CryptoAttribute, ...]
) -> tuple[CryptoAttribute, CryptoAttribute] | None:
    """The offered line to accept, and our line that answers it; None where no suite is common.

    Section 5.1.2: the answerer takes the most preferred line that it can; its own has the same tag and suite.
    """
    for theirs in offered:
        for ours in own:
            if ours.suite == theirs.suite:
                return theirs, replace(ours, tag=theirs.tag)
    return None
