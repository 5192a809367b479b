"""Who we are on the wire: addresses in From, Contact and Via, as they follow from the account and the present flow.

Theory of operation
-------------------
One `Identity` serves all that a user agent sends. The user agent alone changes it: `flow_ready`, `flow_lost`, `learn`
(a NAT shows another address than our own) and `gruu_granted`. Registration and sessions read it at the moment they
write a message, so that each message tells the truth of that moment.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sansio_sip.context import Context, Secret
from sansio_sip.effects import Address

from .body import ACCEPTED_TYPES, description_headers
from .call_events import HeaderRows
from .dialog import MAX_FORWARDS
from .digest import ALGORITHMS
from .extra_headers import ExtraHeaders
from .headers import CSeq, NameAddress, Via
from .limits import Limits
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
        limits: of what is alive at one time; those of single messages are for whoever reads them (`limits.Gate`).
        reg_id: which of the account's flows this is (RFC 5626 section 4.2.1), from 1.
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
    limits: Limits = field(default_factory=Limits)
    reg_id: int = 1
    gruu: Literal["public", "temporary", "none"] = "public"
    realms: tuple[str, ...] = ()
    digest_algorithms: tuple[str, ...] = ALGORITHMS
    extra: ExtraHeaders | None = None
    retry: tuple[float, float] = (30.0, 1800.0)


class Identity:
    """Our addresses. Read by registration and sessions, changed by the user agent.

    Attributes:
        hop: the present flow; None while there is none.
        gruu: a globally routable URI that the registrar has given us (RFC 5627), of the kind asked for.
        service_route: proxies that the registrar wants before each new request (RFC 3608).
    """

    def __init__(self, context: Context, config: AccountConfig) -> None:
        self.config = config
        self.hop: Hop | None = None
        self.gruu: Uri | None = None
        self.service_route: tuple[NameAddress, ...] = ()
        self._learned: Address | None = None
        # RFC 7118 section 5.1 and appendix: a browser-like client has no name that others could look up.
        self._invalid_host = context.entropy.via_host()

    # Changes

    def flow_ready(self, hop: Hop) -> None:
        self.hop = hop
        self._learned = None

    def flow_lost(self) -> None:
        self.hop = None
        self._learned = None

    def learn(self, via: Via) -> bool:
        """Takes the address that the server saw a request come from (RFC 3581). True where it was news to us."""
        hop = self.hop
        if hop is None or hop.transport in ("WS", "WSS") or hop.address is None or not via.received:
            return False
        port = via.rport or via.port or 5060
        seen = Address(via.received, port)
        if seen == (self._learned or hop.local):
            return False
        self._learned = seen
        return True

    # Addresses

    @property
    def has_server(self) -> bool:
        """Whether all goes to one server. Without one, each request goes to where its target says."""
        return self.hop is not None and (self.hop.reliable or self.hop.address is not None)

    @property
    def address(self) -> NameAddress:
        """From of what we begin; without a tag."""
        return NameAddress(self.config.address, self.config.display_name or None)

    @property
    def binding(self) -> SipUri:
        """Where we are to be reached: the Contact of REGISTER."""
        user = self.config.address.user
        # RFC 3261 section 8.1.1.8: "If the Request-URI or top Route header field value contains a SIPS URI, the Contact
        # header field MUST contain a SIPS URI as well."
        scheme = self.config.address.scheme
        hop = self.hop
        if hop is None or hop.local is None or hop.transport in ("WS", "WSS"):
            # RFC 7118 section 5.2.2: `transport=ws` stands for WS and WSS alike; the scheme would tell them apart.
            return SipUri(self._invalid_host, user, parameters=(("transport", "ws"),), scheme=scheme)
        host, port = self._learned or hop.local
        parameters = () if hop.transport == "UDP" else (("transport", hop.transport.lower()),)
        return SipUri(host, user, port=port, parameters=parameters, scheme=scheme)

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
            return Via(hop.transport, self._invalid_host, parameters=parameters)
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
