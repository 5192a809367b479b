"""ICE candidates: the SDP line, the priority and foundation of our own (RFC 8445 section 5.1, RFC 8839 section 5.1)."""

import ipaddress
import re
from dataclasses import dataclass, replace
from enum import Enum

from sansio_sip.effects import Address, FlowId
from sansio_sip.errors import ParseError

__all__ = ["Candidate", "CandidateType", "LocalCandidate", "can_pair", "candidate_priority"]

MAX_LINE = 1024
"""Characters of a candidate line that are looked at: the longest real ones are under 300."""

_ICE_CHARACTERS = re.compile(r"[A-Za-z0-9+/]{1,32}")
_NUMBER = re.compile(r"[0-9]{1,10}")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,255}")


class CandidateType(Enum):
    """How a candidate was found (RFC 8445 section 4)."""

    HOST = "host"
    PEER_REFLEXIVE = "prflx"
    SERVER_REFLEXIVE = "srflx"
    RELAYED = "relay"


TYPE_PREFERENCE = {
    # RFC 8445 section 5.1.2.2: "The RECOMMENDED values for type preferences".
    CandidateType.HOST: 126,
    CandidateType.PEER_REFLEXIVE: 110,
    CandidateType.SERVER_REFLEXIVE: 100,
    CandidateType.RELAYED: 0,
}


def candidate_priority(kind: CandidateType, local_preference: int, component: int = 1) -> int:
    """The formula of RFC 8445 section 5.1.2.1."""
    return (TYPE_PREFERENCE[kind] << 24) + (local_preference << 8) + (256 - component)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transport address at which an agent may be reached.

    `address.host` of a remote candidate may be a name (`....local`). `extensions` are the pairs after the type that
    are not `raddr` and `rport`, kept as they came.
    """

    foundation: str
    component: int
    transport: str
    priority: int
    address: Address
    kind: CandidateType
    related: Address | None = None
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """Reads the value of an `a=candidate:` line, with or without that prefix. Raises `ParseError`."""
        if len(text) > MAX_LINE:
            raise ParseError("candidate line too long", offset=MAX_LINE)
        fields = text.removeprefix("a=").removeprefix("candidate:").split()
        if len(fields) < 8:
            raise ParseError("candidate with less than 8 fields", offset=len(text))
        foundation, component, transport, priority, host, port, typ, kind = fields[:8]
        if not _ICE_CHARACTERS.fullmatch(foundation):
            raise ParseError("candidate foundation is not 1*32ice-char")
        if not _HOST.fullmatch(host):
            raise ParseError("candidate address is neither an IP address nor a name")
        if typ != "typ":
            raise ParseError("candidate without typ")
        try:
            candidate_type = CandidateType(kind)
        except ValueError:
            # RFC 8839 section 5.1: "a candidate with an unrecognized candidate type MUST be ignored".
            raise ParseError(f"candidate of unknown type {kind!r}") from None
        related_host: str | None = None
        related_port = 0
        extensions: list[tuple[str, str]] = []
        for name, value in zip(fields[8::2], fields[9::2], strict=False):
            if name == "raddr":
                related_host = value
            elif name == "rport":
                related_port = _number(value, "rport", 0, 65535)
            else:
                extensions.append((name, value))
        return cls(
            foundation,
            _number(component, "component", 1, 256),
            transport.lower(),
            # The grammar ends at 2**31 - 1, yet the field of STUN's PRIORITY has 32 bits and peers fill them.
            _number(priority, "priority", 0, (1 << 32) - 1),
            Address(host, _number(port, "port", 1, 65535)),
            candidate_type,
            None if related_host is None else Address(related_host, related_port),
            tuple(extensions),
        )

    def at(self, address: Address) -> "Candidate":
        """The same with its address in canonical form."""
        return replace(self, address=address)

    def __str__(self) -> str:
        """The value of an `a=candidate:` line."""
        head = f"{self.foundation} {self.component} {self.transport} {self.priority}"
        parts = [f"{head} {self.address.host} {self.address.port} typ {self.kind.value}"]
        if self.related is not None:
            parts.append(f"raddr {self.related.host} rport {self.related.port}")
        parts.extend(f"{name} {value}" for name, value in self.extensions)
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """A candidate of ours, and the flow that datagrams leave by. `base` is the address of that flow."""

    candidate: Candidate
    flow: FlowId
    base: Address
    local_preference: int

    @property
    def is_base(self) -> bool:
        """Whether pairs are formed with it: RFC 8445 section 6.1.2.4 replaces every other by its base."""
        return self.candidate.kind in (CandidateType.HOST, CandidateType.RELAYED)

    @property
    def check_priority(self) -> int:
        """PRIORITY of our checks: that of a peer-reflexive candidate found by them (RFC 8445 section 7.1.1)."""
        return candidate_priority(CandidateType.PEER_REFLEXIVE, self.local_preference)


def can_pair(local: str, remote: str) -> bool:
    """Whether two IP addresses may form a pair.

    RFC 8445 section 6.1.2.2: "the two candidates ... have the same IP address version", and "link-local ... only with
    link-local" of IPv6.
    """
    ours, theirs = ipaddress.ip_address(local), ipaddress.ip_address(remote)
    if ours.version != theirs.version:
        return False
    return ours.version == 4 or ours.is_link_local == theirs.is_link_local


def _number(text: str, what: str, low: int, high: int) -> int:
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise ParseError(f"candidate {what} is not a number from {low} to {high}")
    return int(text)
