"""What a server may be told. A bad value raises `ValueError` that names the field and what is allowed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip.sip.digest import ALGORITHMS
from sansio_sip.sip.limits import Limits
from sansio_sip.sip.transactions.layer import MAX_TRANSACTIONS

__all__ = ["ListenUrl", "ServerOptions"]

_LISTEN = re.compile(r"(udp|tcp|tls|wss|ws)://(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):(\d{1,5})/?", re.IGNORECASE)
_FLAG = re.compile(r"[A-Za-z0-9_-]{1,32}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]+\]?")


MIN_TOKEN_KEY = 32  # RFC 7518 section 3.2: "A key of the same size as the hash output [...] or larger MUST be used"


@dataclass(frozen=True, slots=True)
class ListenUrl:
    """Where to listen: `transport` is "UDP", "TCP", "TLS", "WS" or "WSS"."""

    transport: str
    bind: Address

    @classmethod
    def parse(cls, text: str) -> "ListenUrl":
        """Raises ValueError where `text` is no URL of one of these transports with an IP address and a port."""
        found = _LISTEN.fullmatch(text)
        if found is None or int(found[3]) > 65535:
            raise ValueError(
                f"listen holds {text!r}: allowed are udp://, tcp://, tls://, ws://, wss:// with IP address and port"
            )
        host = found[2].strip("[]").lower()
        host = "127.0.0.1" if host == "localhost" else str(ip_address(host))
        return cls(found[1].upper(), Address(host, int(found[3])))

    @property
    def secure(self) -> bool:
        return self.transport in ("TLS", "WSS")

    @property
    def web_socket(self) -> bool:
        return self.transport in ("WS", "WSS")

    def at(self, address: Address) -> str:
        """The URL with the address that the listener really has."""
        return f"{self.transport.lower()}://{address}"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """A registrar and proxy for one domain.

    Attributes:
        domain: the host part of its users' addresses. Its own IP addresses stand for it as well.
        listen: URLs `udp://`, `tcp://`, `tls://`, `ws://` or `wss://` of IP address and port; port 0: any free one.
        certificate_file, key_file: PEM files of what `tls://` and `wss://` show; read by the driver.
        users: password of each user, by user name.
        authenticate_calls: ask users of the domain for their password at each request that begins something, not at
            REGISTER alone. Who comes from another domain is not asked: anybody may call our users.
        digest_algorithms: offered in this order, one challenge each. RFC 8760 wants the preferred one on top; but SIPp
            looks at the top one alone and knows MD5 only, while who knows better, as our own client, takes the
            strongest wherever it stands. So MD5 is on top unless told otherwise; `("SHA-256",)` keeps it out. Over
            WebSocket it comes last in any case, where JsSIP looks.
        follow_redirects: try the users and devices of this domain that a 3xx names, in place of passing it on.
        min_expires, default_expires, max_expires: seconds that a binding may last; less is refused (423), more cut.
        max_bindings_per_user: devices of one user, all of which ring.
        token_issuers: the key of each issuer of access tokens (`sansio_sip.auth`), at least 32 characters; their
            holders need no password, and make and get calls as the grants of the token say. Needs the extra `server`.
        max_token_life: seconds between `nbf` and `exp` of a token.
        max_logins: devices at one time that may have registered with tokens of one holder.
        feature_flags: told in `X-FeatureFlags` of calls.
        max_streams: connections at one time; more are closed at once.
        max_streams_per_address: connections of one IP address at one time.
        max_transactions: at one time, lingering ones included; more requests get 503.
        limits: of single messages, and of the rate of one UDP address; by default any rate, for a proxy before us is
            one address too.
        max_pending: requests under way at one time; more get 503.
    """

    domain: str = "localhost"
    listen: tuple[str, ...] = ("udp://127.0.0.1:5060",)
    certificate_file: str = ""
    key_file: str = ""
    users: Mapping[str, Secret] = field(default_factory=dict)
    authenticate_calls: bool = True
    digest_algorithms: tuple[str, ...] = ("MD5", "SHA-256")
    follow_redirects: bool = True
    min_expires: int = 60
    default_expires: int = 3600
    max_expires: int = 3600
    max_bindings_per_user: int = 10
    token_issuers: Mapping[str, Secret] = field(default_factory=dict)
    max_token_life: int = 86_400
    max_logins: int = 10
    feature_flags: tuple[str, ...] = ()
    max_streams: int = 10_000
    max_streams_per_address: int = 1_000
    max_transactions: int = MAX_TRANSACTIONS
    limits: Limits = field(default_factory=lambda: Limits(rate=0.0))
    max_pending: int = 10_000

    def __post_init__(self) -> None:
        if _HOST.fullmatch(self.domain) is None:
            raise ValueError(f"domain is {self.domain!r}: allowed is a host name or IP address")
        if not self.listen:
            raise ValueError("listen is empty: allowed are one or more URLs, udp://127.0.0.1:5060 for one")
        if any(url.secure for url in self.listen_urls()) and not (self.certificate_file and self.key_file):
            raise ValueError("certificate_file and key_file are missing: tls:// and wss:// need both, in PEM")
        if not self.digest_algorithms or any(name not in ALGORITHMS for name in self.digest_algorithms):
            allowed = ", ".join(ALGORITHMS)
            raise ValueError(f"digest_algorithms is {self.digest_algorithms!r}: allowed are one or more of {allowed}")
        if not 1 <= self.min_expires <= self.default_expires <= self.max_expires <= 86_400:
            raise ValueError("expires: allowed is 1 <= min_expires <= default_expires <= max_expires <= 86400")
        if any(len(key.reveal()) < MIN_TOKEN_KEY for key in self.token_issuers.values()):
            raise ValueError(f"token_issuers holds a short key: allowed are {MIN_TOKEN_KEY} characters and more")
        if any(_FLAG.fullmatch(flag) is None for flag in self.feature_flags):
            raise ValueError(f"feature_flags is {self.feature_flags!r}: allowed are names of letters, digits, _ and -")
        for name in (
            "max_bindings_per_user",
            "max_streams",
            "max_streams_per_address",
            "max_transactions",
            "max_pending",
            "max_logins",
            "max_token_life",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: allowed is 1 or more")

    def listen_urls(self) -> tuple[ListenUrl, ...]:
        return tuple([ListenUrl.parse(text) for text in self.listen])
