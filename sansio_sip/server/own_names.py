"""By which names and addresses the server goes, in URIs, Via and Record-Route."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from sansio_sip.effects import Address
from sansio_sip.sip.transport import Hop, default_port
from sansio_sip.sip.uri import SipUri, Uri

__all__ = ["OwnNames"]


class OwnNames:
    """The domain, and the addresses of the listeners."""

    def __init__(self, domain: str) -> None:
        self.domain = domain.strip("[]").lower()
        self._locals: tuple[tuple[str, Address], ...] = ()
        self._interfaces: tuple[str, ...] = ()

    def set_locals(self, listeners: Iterable[tuple[str, Address]]) -> None:
        """Transport and address of each open listener."""
        self._locals = tuple(listeners)

    def set_interfaces(self, addresses: Iterable[str]) -> None:
        """The IP addresses of this host: what a listener on all of them stands for."""
        self._interfaces = tuple(addresses)

    def is_ours(self, uri: Uri) -> bool:
        """Whether a URI names this server, or a user of it.

        The domain does so with any port: which one a user reached us by depends on his network. An address does with
        the port of a listener, or none.
        """
        if not isinstance(uri, SipUri):
            return False
        host = uri.host.lower()
        if host == self.domain:
            return True
        if not _is_address(host):
            return False
        for _, local in self._locals:
            same_host = _same(host, local.host) or (_is_wildcard(local.host) and self._is_interface(host))
            if same_host and (uri.port is None or uri.port == local.port):
                return True
        return False

    def is_own_hop(self, host: str, port: int | None, transport: str) -> bool:
        """Whether the sent-by of a Via is one of ours."""
        return self.is_ours(SipUri(host, port=port or default_port(transport)))

    def local(self, hop: Hop) -> Address:
        """The address that the far end of a hop knows us by."""
        local = hop.local or next((at for transport, at in self._locals if transport == hop.transport), None)
        if local is None:
            return Address(self.domain, default_port(hop.transport))
        if not _is_wildcard(local.host):
            return local
        remote = hop.address.host if hop.address is not None else ""
        if remote and _is_address(remote) and ip_address(remote).is_loopback:
            return local._replace(host="::1" if ":" in remote else "127.0.0.1")
        version6 = ":" in (remote or local.host)
        for host in self._interfaces:
            if (":" in host) == version6 and not ip_address(host).is_loopback:
                return local._replace(host=host)
        return local._replace(host=self.domain)

    def route_uri(self, hop: Hop, user: str) -> SipUri:
        """The URI for our Record-Route towards the far end of a hop."""
        address = self.local(hop)
        # RFC 7118 section 5.2.4: `ws` stands for both kinds of WebSocket.
        name = "ws" if hop.transport == "WSS" else hop.transport.lower()
        transport = () if hop.transport == "UDP" else (("transport", name),)
        return SipUri(address.host, user, port=address.port, parameters=(*transport, ("lr", None)))

    def with_local(self, hop: Hop) -> Hop:
        """The hop with our own address on it filled in."""
        return hop if hop.local is not None else replace(hop, local=self.local(hop))

    def _is_interface(self, host: str) -> bool:
        return ip_address(host).is_loopback or any(_same(host, each) for each in self._interfaces)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::")


def _same(one: str, other: str) -> bool:
    return one == other or (_is_address(one) and _is_address(other) and ip_address(one) == ip_address(other))
