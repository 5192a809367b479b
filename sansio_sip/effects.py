"""Effects: all that a driver can do for a root machine, and the addresses they speak of.

A driver performs an effect and reports what came of it by an input of the machine (see `machine.RootMachine`).
It holds no knowledge of SIP or media; if it seems to need some, a machine lacks an output.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, NewType, TypeAlias

__all__ = [
    "Address",
    "CloseFlow",
    "Effect",
    "FlowId",
    "Listen",
    "NaptrRecord",
    "OpenDatagram",
    "OpenStream",
    "Record",
    "RecordType",
    "Resolve",
    "SendDatagram",
    "SendStream",
    "SrvRecord",
    "TlsPeer",
    "TlsPolicy",
    "TlsServer",
]

FlowId = NewType("FlowId", str)
"""Names one socket for its life. Chosen by the machine that opens it; an accepted one is named by the driver,
`<listener>#<n>` with n counted from 1."""


class Address(NamedTuple):
    """An IP address in text form, without brackets, and a port. A host name is not an Address: resolve it first."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """What a client asks of TLS. The driver verifies the chain; the machine matches the identity (RFC 5922)."""

    server_name: str
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class TlsServer:
    """What a listener presents. Paths of PEM files, read by the driver."""

    certificate_file: str
    key_file: str


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """The identities in the peer's verified certificate, as they stand in its subjectAltName.

    Attributes:
        dns_names: DNS names and IP addresses.
        uris: of any scheme.
        verified: whether the chain leads to an authority that is trusted.
    """

    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    verified: bool = False


class RecordType(Enum):
    """What to look up in the DNS (RFC 3263)."""

    ADDRESS = "A+AAAA"
    SRV = "SRV"
    NAPTR = "NAPTR"


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """Where a service is (RFC 2782). `target` has no trailing dot; an empty one says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class NaptrRecord:
    """Which services a domain has (RFC 3403 section 4). `replacement` has no trailing dot."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


Record: TypeAlias = Address | SrvRecord | NaptrRecord
"""What a look-up gives; the port of an address is 0."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Connect a TCP stream, with TLS when `tls` is given. Reported by `flow_opened` or `flow_lost`."""

    flow: FlowId
    host: str
    port: int
    tls: TlsPolicy | None = None


@dataclass(frozen=True, slots=True)
class OpenDatagram:
    """Bind a UDP socket (port 0: any free one). Reported by `flow_opened` or `flow_lost`.

    Where `bind.host` is a wildcard and `towards` is given, the local address reported is the one this host
    would send from to reach `towards`.
    """

    flow: FlowId
    bind: Address
    towards: Address | None = None
    dscp: int = 0


@dataclass(frozen=True, slots=True)
class Listen:
    """Accept TCP streams at `bind`. `flow_opened(listener, ...)` reports the address, `flow_accepted` each stream."""

    listener: FlowId
    bind: Address
    tls: TlsServer | None = None


@dataclass(frozen=True, slots=True)
class SendStream:
    """Append `data` to a stream. The driver keeps the order and buffers what the socket does not take."""

    flow: FlowId
    data: bytes


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send one UDP datagram. What the network does not take is lost, as any datagram may be."""

    flow: FlowId
    data: bytes
    destination: Address


@dataclass(frozen=True, slots=True)
class CloseFlow:
    """Close a socket or a listener after what was sent on it has left. Nothing is reported for it any more."""

    flow: FlowId


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look a name up. Reported by `resolved(query, records)`, records of that kind alone, in the order in which they
    came; an empty tuple says that there are none, or that nobody could be asked."""

    query: int
    name: str
    kind: RecordType = RecordType.ADDRESS


Effect: TypeAlias = OpenStream | OpenDatagram | Listen | SendStream | SendDatagram | CloseFlow | Resolve
