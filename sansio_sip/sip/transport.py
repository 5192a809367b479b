"""Where a message goes, and where it came from (RFC 3261 section 18, RFC 3581).

A `Hop` is one step of a message: a transport, the far address, and the flow (socket) that it takes. The owner of the
sockets makes hops of arriving messages; user agents and proxies hand them back to say where a message shall go. The
functions below are the server's duties towards the top Via of a request: note where it really came from, and find
where its responses go.
"""

from dataclasses import dataclass, replace

from sansio_sip.effects import Address, FlowId
from sansio_sip.errors import ParseError

from .headers import Via
from .message import Request
from .uri import SipUri

__all__ = [
    "DEFAULT_PORTS",
    "TRANSPORTS",
    "Hop",
    "default_port",
    "mark_source",
    "response_hop",
    "transport_named",
    "with_top_via",
]

TRANSPORTS = ("UDP", "TCP", "TLS", "WS", "WSS")

# RFC 3261 section 18.1.1 and RFC 7118 section 5.1: what stands where a sent-by or URI names no port.
DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 80, "WSS": 443}


def default_port(transport: str) -> int:
    """The port that is meant where none is written."""
    return DEFAULT_PORTS.get(transport.upper(), 5060)


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a message.

    Attributes:
        transport: one of `TRANSPORTS`.
        address: of the far end: where to send, or where the message came from. None where the flow has no far end of
            its own and none was named yet.
        local: our own address on the flow.
        flow: the socket; None leaves the choice to whoever owns the sockets.
    """

    transport: str
    address: Address | None = None
    local: Address | None = None
    flow: FlowId | None = None

    @property
    def reliable(self) -> bool:
        """Whether the transport itself sends again what is lost (RFC 3261 section 17)."""
        return self.transport != "UDP"

    @property
    def secure(self) -> bool:
        """Whether the hop runs over TLS."""
        return self.transport in ("TLS", "WSS")


def with_top_via(request: Request, via: Via) -> Request:
    """The request with its top Via replaced; the rest stays as it is."""
    changed = request.copy()
    changed.headers.set("Via", str(via), *(str(each) for each in request.via[1:]))
    return changed


def mark_source(request: Request, hop: Hop) -> Request:
    """The request with `received` and `rport` noted in its top Via, as a server must do on arrival."""
    if hop.address is None:
        return request
    via = request.top_via
    marked = via
    # RFC 3581 section 4: "When a server compliant to this specification receives a request, it examines the topmost
    # Via header field value. If this Via header field value contains an "rport" parameter with no value, it MUST set
    # the value of the parameter to the source port of the request." "the server MUST insert a "received" parameter
    # [...] even if it is identical to the value of the "sent-by" component."
    asks_for_port = any(name.lower() == "rport" and not value for name, value in via.parameters)
    if asks_for_port:
        marked = marked.with_parameter("rport", str(hop.address.port))
    # RFC 3261 section 18.2.1: "If the host portion of the "sent-by" parameter contains a domain name, or if it
    # contains an IP address that differs from the packet source address, the server MUST add a "received" parameter".
    # Unconditionally overwritten where a sender has written one itself, so that nobody aims our responses elsewhere.
    if asks_for_port or via.host.lower() != hop.address.host.lower() or via.received is not None:
        marked = marked.with_parameter("received", hop.address.host)
    return request if marked == via else with_top_via(request, marked)


def response_hop(request: Request, hop: Hop) -> Hop:
    """Where responses to a marked request go, given the hop that it came on (RFC 3261 section 18.2.2).

    On a stream they take the flow that the request came on. On UDP they go to the address that the request really
    came from, and to the port that the Via asks for: `rport` if it is there, else that of sent-by. `maddr` is not
    followed: it would let a sender aim our responses at a third party.
    """
    if hop.reliable or hop.address is None:
        return hop
    via = request.top_via
    if any(name.lower() == "rport" for name, _ in via.parameters):
        return hop
    return replace(hop, address=Address(hop.address.host, via.port or default_port(hop.transport)))


def transport_named(uri: SipUri) -> str | None:
    """The transport that a URI names, as in a Via header.

    Raises:
        ParseError: one that nobody speaks.
    """
    text = uri.parameter("transport")
    if text is None or text == "":
        return None
    transport = text.upper()
    if transport not in ("UDP", "TCP", "TLS"):
        raise ParseError(f"transport {text!r} is not one of udp, tcp, tls", status=400)
    return "TLS" if uri.scheme == "sips" and transport == "TCP" else transport
