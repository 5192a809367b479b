"""Who we are on the wire: addresses in From, Contact and Via, as they follow from the account and the present flow.

Theory of operation
-------------------
An `Identity` serves all that a user agent sends: one for the account, and one for each call, which speaks for the flow
that the call is on. What changes stands in `lines`, which they share. Registrations and sessions read it at the moment
they write a message, so that each message tells the truth of that moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sansio_sip.context import Context, Secret

from .body import ACCEPTED_TYPES, description_headers
from .call_events import CallId, HeaderRows
from .dialog import MAX_FORWARDS
from .digest import ALGORITHMS
from .extra_headers import ExtraHeaders
from .headers import CSeq, NameAddress, Via
from .limits import Limits
from .lines import Line, Lines
from .message import Headers, Request
from .policy import CallPolicy
from .session_timer import MIN_SE
from .transport import Hop
from .uri import SipUri, Uri

__all__ = [
    "ALLOWED_METHODS",
    "KNOWN_METHODS",
    "NOTIFIED_EVENTS",
    "SUPPORTED",
    "AccountConfig",
    "Identity",
    "Reliability",
]

ALLOWED_METHODS = (
    *("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO"),
    *("MESSAGE", "NOTIFY", "PRACK", "REFER", "SUBSCRIBE", "UPDATE"),
)
"""What `Allow` says. Of all else, what is known is answered 405, what is not 501."""

KNOWN_METHODS = frozenset((*ALLOWED_METHODS, "REGISTER", "PUBLISH"))
"""Methods of the IANA registry."""

NOTIFIED_EVENTS = ("refer",)
"""Event packages that we tell of; that one is subscribed to by REFER alone."""

SUPPORTED = ("outbound", "gruu")
"""RFC 5626 and RFC 5627: they ask nothing more of a user agent than what `Identity` does."""

Reliability: TypeAlias = Literal["none", "supported", "required"]
"""Of provisional responses (RFC 3262): not spoken, used where the peer wants it or there is early media, or a must."""


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """What a user agent knows of its account.

    Attributes:
        address: address of record.
        username: for digest authentication.
        password: for digest authentication; an empty one says that there is none.
        expires: seconds asked for in REGISTER.
        instance: a URN that names this device (RFC 5626 section 4.1); empty leaves `+sip.instance` out.
        registrar: Request-URI of REGISTER; None: the domain of `address`.
        software: User-Agent header; empty leaves it out.
        reliability: of provisional responses, see `Reliability`.
        session_expires: seconds without a refresh after which a session ends (RFC 4028); 0: no such limit.
        min_se: fewer seconds are refused.
        policy: what peers may make us do.
        outgoing_prefixes: what the user part of whom a 3xx sends us to must begin with, one of these; empty: anything.
            Whom we call by ourselves is for whoever says so (`invite`).
        limits: of what is alive at one time; those of single messages are for whoever reads them (`limits.Gate`).
        flows: how many there are to be at once, each with its registration (RFC 5626 section 4.2.1); they have the
            reg-ids from 1.
        gruu: which of the URIs that a registrar gives us stands as Contact of calls (RFC 5627): the public one, one
            that tells nobody who we are, or neither.
        realms: whose challenges to answer besides those of our registrar; "*": anybody's. See `authorization`.
        digest_algorithms: those that may be used.
        extra: rows that go along with REGISTER and INVITE, as they are when one is written.
        retry: seconds, base-time and max-time of RFC 5626 section 4.5, between tries to register after a failure.
    """

    address: SipUri
    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    display_name: str | None = None
    expires: int = 120
    instance: str = ""
    registrar: Uri | None = None
    software: str = "sansio-sip"
    reliability: Reliability = "supported"
    session_expires: int = 1800
    min_se: int = MIN_SE
    policy: CallPolicy = field(default_factory=CallPolicy)
    outgoing_prefixes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    flows: int = 1
    gruu: Literal["public", "temporary", "none"] = "public"
    realms: tuple[str, ...] = ()
    digest_algorithms: tuple[str, ...] = ALGORITHMS
    extra: ExtraHeaders | None = None
    retry: tuple[float, float] = (30.0, 1800.0)


class Identity:
    """Our addresses. Read by registrations and sessions, changed by the user agent.

    It speaks for the line by which requests leave; that of a call (`of_call`) for the line that the call came by.

    Attributes:
        lines: the flows of the account, one for each reg-id.
    """

    def __init__(
        self,
        context: Context,
        config: AccountConfig,
        lines: Lines | None = None,
        peers: Mapping[CallId, Hop] | None = None,
        call: CallId | None = None,
    ) -> None:
        self.config = config
        self.lines = lines or Lines(context, config.flows)
        self._context = context
        self._peers = peers
        self._call = call

    def of_call(self, peers: Mapping[CallId, Hop], call: CallId) -> "Identity":
        """Who we are in one call; `peers` says of each call where its last message came from."""
        return Identity(self._context, self.config, self.lines, peers, call)

    @property
    def line(self) -> Line:
        """The line that this speaks for."""
        peer = self._peers.get(self._call) if self._peers is not None and self._call is not None else None
        found = self.lines.of_hop(peer) if peer is not None and len(self.lines) > 1 else None
        return found or self.lines.in_use

    @property
    def hop(self) -> Hop | None:
        """The present flow; None while there is none."""
        return self.line.hop

    @property
    def gruu(self) -> Uri | None:
        return self.line.gruu

    @property
    def service_route(self) -> tuple[NameAddress, ...]:
        return self.line.service_route

    @property
    def has_server(self) -> bool:
        """Whether all goes to one server. Without one, each request goes to where its target says."""
        return self.line.has_server

    # Addresses

    @property
    def address(self) -> NameAddress:
        """From of what we begin; without a tag."""
        return NameAddress(self.config.address, self.config.display_name or None)

    @property
    def binding(self) -> SipUri:
        """Where we are to be reached: the Contact of REGISTER."""
        return self.line.binding(self.config.address)

    @property
    def contact(self) -> NameAddress:
        """Contact of dialogs."""
        if self.gruu is not None:
            return NameAddress(self.gruu)
        binding = self.binding
        if self.has_server:
            # RFC 5626 section 4.3: "If the UA is not behind a GRUU, it adds `ob`": later requests of the dialog are
            # to come over this very flow.
            return NameAddress(binding.with_parameter("ob"))
        return NameAddress(binding)

    def via(self, hop: Hop, branch: str) -> Via:
        """The top Via of a request sent on `hop`."""
        # RFC 3581 section 3: "The client MAY include an rport parameter [...]. This parameter MUST have no value".
        parameters = (("branch", branch), ("rport", None))
        if hop.local is None or hop.transport in ("WS", "WSS"):
            return Via(hop.transport, self.lines[1].invalid_host, parameters=parameters)
        return Via(hop.transport, hop.local.host, hop.local.port, parameters=parameters)

    @property
    def supported(self) -> tuple[str, ...]:
        """The option tags that we know."""
        timer = ("timer",) if self.config.session_expires else ()
        reliable = ("100rel",) if self.config.reliability != "none" else ()
        return (*SUPPORTED, "replaces", *timer, *reliable)

    def capabilities(self) -> HeaderRows:
        """The rows that tell a peer where we are and what we can: for INVITE and 2xx (RFC 3261 section 13.2.1)."""
        return (
            ("Contact", str(self.contact)),
            ("Allow", ", ".join(ALLOWED_METHODS)),
            ("Supported", ", ".join(self.supported)),
        )

    def extra(self) -> HeaderRows:
        """The account's own rows, for REGISTER and INVITE."""
        return self.config.extra.rows() if self.config.extra is not None else ()

    def options(self) -> HeaderRows:
        """The rows of a 200 to OPTIONS (RFC 3261 section 11.2)."""
        events = ("Allow-Events", ", ".join(NOTIFIED_EVENTS))
        return (*self.capabilities(), ("Accept", ", ".join(ACCEPTED_TYPES)), events)

    def invite(self, target: SipUri, call_id: str, tag: str, body: bytes, headers: HeaderRows) -> Request:
        """The first INVITE of a call (RFC 3261 sections 8.1.1 and 13.2.1), without Via."""
        rows = Headers()
        for route in self.service_route:
            rows.add("Route", str(route))
        rows.add("Max-Forwards", MAX_FORWARDS)
        rows.add("From", str(self.address.with_tag(tag)))
        rows.add("To", str(NameAddress(target)))
        rows.add("Call-ID", call_id)
        rows.add("CSeq", str(CSeq(1, "INVITE")))
        for name, value in (*self.capabilities(), *description_headers(body), *self.extra(), *headers):
            rows.add(name, value)
        if self.config.reliability == "required":
            rows.add("Require", "100rel")
        return Request("INVITE", target, rows, body)
