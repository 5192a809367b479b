"""The way of a request of ours: its next hop (RFC 3261 section 8.1.2), and the Via that leads responses back."""

from dataclasses import replace
from ipaddress import ip_address

from sansio_sip.effects import Address

from .identity import Identity
from .message import Request
from .transport import Hop, default_port
from .uri import SipUri, Uri

__all__ = ["literal_address", "named_address", "stamp", "way"]


def literal_address(uri: Uri) -> Address | None:
    """The address in a URI whose host needs no look-up."""
    if not isinstance(uri, SipUri):
        return None
    # RFC 6761 section 6.3: `localhost` is the loopback address everywhere.
    host = "127.0.0.1" if uri.host.lower() == "localhost" else uri.host
    try:
        ip_address(host)
    except ValueError:
        return None
    return Address(host, uri.port or default_port("TLS" if uri.scheme == "sips" else "UDP"))


def named_address(uri: Uri) -> Address | None:
    """The host and port of a URI as they stand there, the port 0 where there is none: for whoever looks names up."""
    return Address(uri.host, uri.port or 0) if isinstance(uri, SipUri) else None


def way(identity: Identity, request: Request, peer: Hop | None) -> Hop | None:
    """Where a request goes; None where there is no way.

    With a server, that is the flow to it. Without one, it is the address in the first Route or in the Request-URI;
    if that is a name, then `peer`, from where the last message of the dialog came; before there is any, the hop has the
    name in its address, and `signalling` looks it up. Who is to be reached by TCP, and has come to us by a stream, is
    answered on that stream: it is the only one that a peer behind a NAT can have (RFC 5923 section 4). There is no way
    to a `sips:` URI but over TLS.
    """
    hop = identity.hop
    if hop is None or identity.has_server:
        return hop
    routes = request.routes
    # A strict router stands in the Request-URI already (RFC 3261 section 12.2.1.1).
    loose = bool(routes) and isinstance(routes[0].uri, SipUri) and routes[0].uri.has_parameter("lr")
    target = routes[0].uri if loose else request.uri
    # RFC 3261 section 26.2.2: "each hop over which the request is forwarded [...] must be secured with TLS".
    if not hop.secure and any(isinstance(uri, SipUri) and uri.scheme == "sips" for uri in (request.uri, target)):
        return None
    address = literal_address(target)
    if not hop.reliable and isinstance(target, SipUri) and (target.parameter("transport") or "").lower() == "tcp":
        if peer is not None and peer.transport == "TCP":
            return replace(peer, address=address or peer.address)
        # RFC 3263 section 4.1: "If the URI specifies a transport protocol in the transport parameter, that transport
        # protocol MUST be used."
        if address is not None or peer is None:
            return Hop("TCP", address or named_address(target), hop.local)
    if address is None and peer is not None and peer.transport == hop.transport:
        address = peer.address
    if address is None:
        address = named_address(target)
    return replace(hop, address=address) if address is not None else None


def stamp(identity: Identity, request: Request, hop: Hop, branch: str) -> Request:
    """The request as it goes out on `hop`."""
    stamped = request.copy()
    stamped.headers.insert_first("Via", str(identity.via(hop, branch)))
    if identity.config.software:
        stamped.headers.add("User-Agent", identity.config.software)
    return stamped
