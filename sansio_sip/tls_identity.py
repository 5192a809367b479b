"""Whether a TLS peer is who we meant to reach. The driver has verified the chain; this matches the names.

SIP over TLS follows RFC 5922; SIP over a secure WebSocket is HTTPS to the peer and follows RFC 9525.
"""

import re
from ipaddress import ip_address

from .effects import TlsPeer
from .server_url import ServerUrl, is_ip_address

__all__ = ["host_fault", "identities", "identity_fault"]

_SIP_URI = re.compile(r"sip:(?P<host>\[[^\]]*\]|[^:;?@/]+)(?::\d+)?(?:[;?].*)?", re.IGNORECASE)


def identities(peer: TlsPeer, *, web_socket: bool) -> tuple[str, ...]:
    """The names that the peer's certificate speaks for, in lower case."""
    names = tuple(name.lower().rstrip(".") for name in peer.dns_names)
    if web_socket:
        return names
    # RFC 5922 section 7.1: a URI counts when its scheme is `sip` and it names no user; where there is one that
    # counts, the DNS names of the certificate are not identities of a SIP domain.
    found = (_SIP_URI.fullmatch(uri) for uri in peer.uris)
    domains = tuple(match["host"].lower().strip("[]").rstrip(".") for match in found if match is not None)
    return domains or names


def identity_fault(peer: TlsPeer | None, server: ServerUrl) -> str | None:
    """What speaks against the peer being `server`, for a person; None when it is the one."""
    if peer is None or not peer.verified:
        return "the certificate was not verified"
    names = identities(peer, web_socket=server.web_socket)
    host = server.host.rstrip(".")
    if any(_matches(name, host, wildcard=server.web_socket) for name in names):
        return None
    return f"the certificate is for {', '.join(names) or 'no name'}, not for {server.host}"


def host_fault(peer: TlsPeer | None, host: str) -> str | None:
    """What speaks against the peer being the HTTPS server `host` (RFC 9525); None when it is the one."""
    if peer is None or not peer.verified:
        return "the certificate was not verified"
    names = identities(peer, web_socket=True)
    if any(_matches(name, host.lower().rstrip("."), wildcard=True) for name in names):
        return None
    return f"the certificate is for {', '.join(names) or 'no name'}, not for {host}"


def _matches(name: str, host: str, *, wildcard: bool) -> bool:
    if is_ip_address(host):
        return is_ip_address(name) and ip_address(name) == ip_address(host)
    # RFC 5922 section 7.2: no wildcard stands for a SIP domain. RFC 9525 section 6.3: one stands for the whole first
    # label of a server's name, and for no more.
    if wildcard and name.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and "." in rest and rest == name[2:]
    return name == host
