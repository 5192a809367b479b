"""What both drivers ask of the operating system in the same words: sockets, TLS contexts, addresses.

Nothing here waits.
"""

import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import ifaddr

from sansio_sip.effects import Address, OpenDatagram, TlsPeer, TlsPolicy, TlsServer

__all__ = [
    "DRAIN",
    "HANDSHAKE_TIMEOUT",
    "PARTING",
    "WATCH_INTERVAL",
    "WRITE_LIMIT",
    "bind_datagram",
    "client_tls",
    "describe",
    "local_address",
    "local_addresses",
    "server_tls",
    "tls_peer",
]

# Datagrams read in one go: enough to catch up after a late tick of many calls, few enough to keep timers on time.
DRAIN = 64

# Seconds for a client to finish the TLS handshake: who opens connections and says nothing shall not fill the table.
HANDSHAKE_TIMEOUT = 10.0

# Seconds that a closing stream has for what was written: a BYE or an un-REGISTER may be among it.
PARTING = 1.0

# Seconds between looks at the addresses of this host: a call should be heard again within five of a change.
WATCH_INTERVAL = 1.0

# What a stream may hold back. A peer that reads nothing for this long is not worth the memory.
WRITE_LIMIT = 1 << 20


def bind_datagram(effect: OpenDatagram) -> socket.socket:
    """A bound, non-blocking UDP socket with the code point asked for. Raises OSError."""
    family = socket.AF_INET6 if ":" in effect.bind.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if effect.dscp and family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, effect.dscp << 2)
        elif effect.dscp:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, effect.dscp << 2)
        sock.bind(effect.bind)
    except OSError:
        sock.close()
        raise
    return sock


def local_address(sock: socket.socket, towards: Address | None) -> Address:
    """Where the socket is bound; for a wildcard, the address this host would send from to reach `towards`."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::") and towards is not None:
        with socket.socket(sock.family, socket.SOCK_DGRAM) as probe:
            probe.connect(towards)  # UDP: chooses a route and sends nothing
            host = probe.getsockname()[0]
    return Address(host, port)


def local_addresses() -> tuple[str, ...]:
    """The IP addresses of this host, IPv4 first, loopback last."""
    found = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    return tuple(sorted(dict.fromkeys(found), key=lambda ip: (ip in ("127.0.0.1", "::1"), ":" in ip)))


def client_tls(policy: TlsPolicy) -> ssl.SSLContext:
    """TLS 1.2 or later, verified unless the account says otherwise. Raises OSError for a file that cannot be read."""
    context = ssl.create_default_context(cafile=policy.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The chain is verified here; whose certificate it is, the machine decides: SIP's rules are not those of HTTPS.
    context.check_hostname = False
    if not policy.verify:
        context.verify_mode = ssl.CERT_NONE
    return context


def server_tls(server: TlsServer) -> ssl.SSLContext:
    """TLS 1.2 or later with the server's certificate. Raises OSError for files that cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server.certificate_file, server.key_file)
    return context


def tls_peer(certificate: Mapping[str, Any] | None, policy: TlsPolicy) -> TlsPeer:
    """The identities in the peer's certificate; none where it was not verified."""
    names = (certificate or {}).get("subjectAltName", ())
    return TlsPeer(
        dns_names=tuple(value for kind, value in names if kind in ("DNS", "IP Address")),
        uris=tuple(value for kind, value in names if kind == "URI"),
        verified=policy.verify,
    )


def describe(error: Exception) -> str:
    """What went wrong, for a person."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one attempt an address: the last stands for all
            cause = cause.exceptions[-1]
        elif isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted: {cause.verify_message}"
        elif isinstance(cause, ssl.SSLError):
            return str(cause)
        elif isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
        else:
            cause = cause.__cause__
    return str(error) or type(error).__name__
