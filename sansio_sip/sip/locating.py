"""Where the server of a SIP URI is, and by which transport it is spoken to (RFC 3263, RFC 2782).

Theory of operation
-------------------
A `Locator` answers one question. It asks the resolver for NAPTR records where the URI leaves the transport open, for
SRV records where it leaves the port open, and for the addresses of what they name, all of this only as far as it has
to. Then it gives one `Located`: the places to try, best first. It chooses; who looks names up is the driver's affair.

    NAPTR --services in their order--> SRV of each --targets by priority and weight--> addresses of each --> Located
      |                                 ^    | none                                        ^
      +-- none: SRV of each transport --+    +------------ the name itself ----------------+

An IP address asks nothing, a port skips NAPTR and SRV (sections 4.1 and 4.2). Questions of one step go out together;
their answers may come in any order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from types import MappingProxyType
from typing import TypeAlias

from sansio_sip.context import Context
from sansio_sip.effects import Address, NaptrRecord, Record, RecordType, Resolve, SrvRecord
from sansio_sip.machine import Outbox

from .transport import default_port

__all__ = ["SERVICES", "Located", "Locator", "LocatorOutput", "Target", "order_srv"]

# RFC 3263 section 4.1: what stands in the service field. Those of RFC 7118 are left out: a WebSocket needs a URL, whose
# path no record of the DNS holds.
SERVICES: Mapping[str, str] = MappingProxyType({"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"})

# Section 4.1: "_sip._udp", "_sip._tcp", "_sips._tcp".
SRV_PREFIXES: Mapping[str, str] = MappingProxyType({"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"})

# A resolver may answer with hundreds; each is a look-up, and a server to be tried.
MAX_SERVICES = 8
MAX_SRV = 16
MAX_ADDRESSES = 4
MAX_TARGETS = 16


@dataclass(frozen=True, slots=True)
class Target:
    """A place to try: transport, as in a Via header, and address."""

    transport: str
    address: Address


@dataclass(frozen=True, slots=True)
class Located:
    """The places to try, best first; none where there are none. `reason` says why, for a person."""

    targets: tuple[Target, ...]
    reason: str = ""


LocatorOutput: TypeAlias = Resolve | Located


class Step(Enum):
    """See the drawing above."""

    NAPTR = "which services the domain has"
    SRV = "which hosts offer them"
    ADDRESSES = "where the hosts are"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class _Host:
    """A name whose addresses are wanted."""

    transport: str
    name: str
    port: int


class Locator:
    """The machine of one look-up. It has no timers: whoever waits for it bounds the time.

    Args:
        host, port: of the URI; the port is None where it has none.
        secure: the URI is a `sips:` one; only TLS will do.
        transport: that the URI names, as in a Via header; None: to be found.
        transports: those that we can use here, in order of preference.
        first_query: the number of the first `Resolve`; the others count up.
    """

    def __init__(
        self,
        context: Context,
        host: str,
        port: int | None,
        *,
        secure: bool = False,
        transport: str | None = None,
        transports: Sequence[str] = ("TLS", "TCP", "UDP"),
        first_query: int = 1,
    ) -> None:
        self._context = context
        self._host = host.rstrip(".").lower()
        self._port = port
        # Section 4.1: "If the TARGET is a SIPS URI, [...] any services that do not contain "SIPS" as the protocol in
        # the service field MUST be discarded".
        self._transports = tuple(each for each in transports if each == "TLS" or not secure)
        self._transport = "TLS" if secure and transport == "TCP" else transport
        self._default = "TLS" if secure else ("UDP" if "UDP" in transports else "TCP")
        self._outbox: Outbox[LocatorOutput] = Outbox()
        self.step = Step.DONE
        self.next_query = first_query
        self._asked: dict[int, int] = {}  # query: index of its question
        self._answers: list[tuple[Record, ...]] = []
        self._services: list[tuple[str, str]] = []  # transport, and the name of its SRV records
        self._hosts: list[_Host] = []
        self._begin()

    def resolved(self, query: int, records: tuple[Record, ...]) -> bool:
        """An answer; False where the question was not ours, or has been answered."""
        index = self._asked.pop(query, None)
        if index is None:
            return False
        self._answers[index] = records
        if not self._asked:
            self._advance()
        return True

    def poll_output(self) -> LocatorOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[LocatorOutput]:
        return self._outbox.drain()

    # Steps

    def _begin(self) -> None:
        transport = self._transport
        if transport is not None and transport not in self._transports:
            self._finish((), f"{transport} cannot be used here")
        elif _is_address(self._host):
            # "If no transport protocol is specified, but the TARGET is a numeric IP address, the client SHOULD use UDP
            # for a SIP URI, and TCP for a SIPS URI." The same where a port is given.
            self._use_default([_Host(transport or self._default, self._host, self._port or 0)])
        elif self._port is not None:
            self._use_default([_Host(transport or self._default, self._host, self._port)])
        elif transport is not None:
            self._ask_srv([(transport, self._srv_name(transport))])
        else:
            self.step = Step.NAPTR
            self._ask([(self._host, RecordType.NAPTR)])

    def _advance(self) -> None:
        if self.step is Step.NAPTR:
            self._on_naptr([each for each in self._answers[0] if isinstance(each, NaptrRecord)])
        elif self.step is Step.SRV:
            self._on_srv()
        else:
            self._on_addresses()

    def _on_naptr(self, records: list[NaptrRecord]) -> None:
        # RFC 3403 section 4.1: by order, then by preference; the flag "s" says that SRV records come next.
        records.sort(key=lambda record: (record.order, record.preference))
        found: list[tuple[str, str]] = []
        for record in records:
            transport = SERVICES.get(record.service.upper())
            usable = transport in self._transports and record.flags.lower() == "s" and record.replacement
            if transport is not None and usable:
                found.append((transport, record.replacement))
        # "If no NAPTR records are found, the client constructs SRV queries for those transport protocols it supports,
        # and does a query for each." The domain's services come before our own taste, which stands in `transports`.
        self._ask_srv(found[:MAX_SERVICES] or [(each, self._srv_name(each)) for each in self._transports])

    def _ask_srv(self, services: list[tuple[str, str]]) -> None:
        self.step = Step.SRV
        self._services = services
        self._ask([(name, RecordType.SRV) for _, name in services])

    def _on_srv(self) -> None:
        hosts: list[_Host] = []
        seen = refused = False
        for (transport, _), answer in zip(self._services, self._answers, strict=True):
            records = [each for each in answer if isinstance(each, SrvRecord)]
            seen = seen or bool(records)
            # RFC 2782: "A Target of "." means that the service is decidedly not available at this domain."
            usable = [each for each in records if each.target]
            refused = refused or len(usable) < len(records)
            for record in order_srv(self._context, usable[:MAX_SRV]):
                hosts.append(_Host(transport, record.target, record.port))
        if hosts:
            self._ask_addresses(hosts[:MAX_SRV])
        elif refused:
            self._finish((), f"{self._host} says that it has no SIP service")
        else:
            # "If no SRV records were found, the client performs an A or AAAA record lookup of the domain name." With
            # the default port of the transport, which is UDP where nothing says another (TLS for sips).
            transport = self._transport or (self._services[0][0] if len(self._services) == 1 else self._default)
            self._use_default([_Host(transport, self._host, 0)])

    def _use_default(self, hosts: list[_Host]) -> None:
        if hosts[0].transport not in self._transports:
            self._finish((), f"{hosts[0].transport} cannot be used here")
        else:
            self._ask_addresses([_Host(each.transport, each.name, each.port or default_port(each.transport))
                                 for each in hosts])  # fmt: skip

    def _ask_addresses(self, hosts: list[_Host]) -> None:
        self.step = Step.ADDRESSES
        self._hosts = hosts
        self._ask([(each.name, RecordType.ADDRESS) for each in hosts])

    def _on_addresses(self) -> None:
        targets: dict[Target, None] = {}
        for host, answer in zip(self._hosts, self._answers, strict=True):
            found = [each for each in answer if isinstance(each, Address)]
            for address in found[:MAX_ADDRESSES]:
                targets[Target(host.transport, Address(address.host, host.port))] = None
        self._finish(tuple(targets)[:MAX_TARGETS], "" if targets else "the name has no address")

    def _finish(self, targets: tuple[Target, ...], reason: str = "") -> None:
        self.step = Step.DONE
        self._outbox.put(Located(targets, reason))

    # Questions

    def _ask(self, questions: list[tuple[str, RecordType]]) -> None:
        """Asks all of a step at once; the same question once, and an IP address nobody."""
        self._answers = [()] * len(questions)
        self._asked = {}
        for index, (name, kind) in enumerate(questions):
            if kind is RecordType.ADDRESS and _is_address(name):
                self._answers[index] = (Address(name, 0),)
                continue
            self._asked[self.next_query] = index
            self._outbox.put(Resolve(self.next_query, name, kind))
            self.next_query += 1
        if not self._asked:
            self._advance()

    def _srv_name(self, transport: str) -> str:
        return f"{SRV_PREFIXES.get(transport, '_sip._tcp')}.{self._host}"


def order_srv(context: Context, records: Sequence[SrvRecord]) -> list[SrvRecord]:
    """The order in which to try servers (RFC 2782, "Usage rules"): by priority, and at random by weight within one."""
    ordered: list[SrvRecord] = []
    for priority in sorted({record.priority for record in records}):
        # "arrange all SRV RRs (that have not been ordered yet) in any order, except that all those with weight 0 are
        # placed at the beginning of the list. Compute the sum of the weights [...]. Then choose a uniform random
        # number between 0 and the sum computed (inclusive), and select the RR whose running sum value is the first in
        # the selected order which is greater than or equal to the random number selected."
        left = sorted((each for each in records if each.priority == priority), key=lambda each: each.weight > 0)
        while len(left) > 1:
            drawn = int(context.entropy.fraction("srv_weight") * (sum(each.weight for each in left) + 1))
            running = 0
            for index, each in enumerate(left):
                running += each.weight
                if running >= drawn:
                    ordered.append(left.pop(index))
                    break
        ordered += left
    return ordered


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
