"""One HTTP request and its response (RFC 9112 over h11): for feedback, and for sounds that are given by URL.

Theory of operation
-------------------
    Resolve -> OpenStream -> request -> response -> HttpAnswered
                  ^  next address          | 301, 302, 303, 307, 308
                  +------------------------+

Each exchange has one deadline for everything, a bound on the body, and a bound on redirections. It gives exactly one of
HttpAnswered and HttpFailed. A name that was looked up, and an https server's certificate, must be those of the URL.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

import h11

from .effects import Address, CloseFlow, FlowId, OpenStream, Record, Resolve, SendStream, TlsPeer, TlsPolicy
from .machine import Outbox
from .server_url import is_ip_address
from .tls_identity import host_fault

__all__ = ["HttpAnswered", "HttpExchange", "HttpFailed", "HttpOutput", "HttpRequest"]

MAX_REDIRECTS = 5
TIMEOUT = 30.0  # seconds for all of it
MAX_BODY = 16 * 1024 * 1024  # octets: a minute of stereo WAV
REDIRECTS = (301, 302, 303, 307, 308)
KEEPS_METHOD = (307, 308)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to ask for.

    Raises:
        ValueError: the URL is not http or https with a host, or a header would end its line.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise ValueError(f"url is {self.url!r}: allowed are http:// and https:// URLs")
        if any(c in "\r\n\0" for text in (self.url, *(t for row in self.headers for t in row)) for c in text):
            raise ValueError("url or headers hold a line break or NUL: allowed is one line each")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def secure(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def target(self) -> str:
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def authority(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class HttpAnswered:
    """A response that is no redirection."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpFailed:
    """There is none. `reason` is for people."""

    reason: str


HttpOutput: TypeAlias = Resolve | OpenStream | SendStream | CloseFlow | HttpAnswered | HttpFailed


class HttpExchange:
    """The machine of one request.

    Args:
        name: first part of the names of its flows.
        query: the number of its first question; later ones count on.
        ca_file, tls_verify: as in AccountOptions.
    """

    def __init__(
        self,
        name: str,
        request: HttpRequest,
        *,
        query: int = 1,
        ca_file: str | None = None,
        tls_verify: bool = True,
        timeout: float = TIMEOUT,
        max_body: int = MAX_BODY,
        now: float,
    ) -> None:
        self._name = name
        self._request = request
        self._query = query - 1
        self._ca_file = ca_file
        self._tls_verify = tls_verify
        self._max_body = max_body
        self._deadline: float | None = now + timeout
        self._outbox: Outbox[HttpOutput] = Outbox()
        self._addresses: list[Address] = []
        self._redirects = self._flows = 0
        self._flow: FlowId | None = None
        self._connection: h11.Connection | None = None
        self._response: h11.Response | None = None
        self._body = bytearray()
        self._begin()

    @property
    def is_over(self) -> bool:
        return self._deadline is None

    # Inputs; those about a flow or question of somebody else are passed over

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        if query != self._query or self._flow is not None or self.is_over:
            return
        self._addresses = [record for record in records if isinstance(record, Address)]
        self._try_address("the name has no address")

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        if flow != self._flow or self.is_over:
            return
        if self._request.secure and self._tls_verify:
            fault = host_fault(peer, self._request.host)
            if fault is not None:
                self._close()
                self._try_address(fault)
                return
        self._send()

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if flow != self._flow or self.is_over:
            return
        self._flow = None
        if self._response is not None:
            self._feed(b"")
        elif self._connection is not None:
            self._fail(f"the server has closed the connection: {reason}")
        else:
            self._try_address(reason)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if flow == self._flow and not self.is_over:
            self._feed(data)

    def handle_timeout(self, *, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._fail("no answer in time")

    def next_timeout(self) -> float | None:
        return self._deadline

    def poll_output(self) -> HttpOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[HttpOutput]:
        return self._outbox.drain()

    # Inside

    def _begin(self) -> None:
        host = self._request.host
        self._query += 1
        if is_ip_address(host):
            self._addresses = [Address(host, 0)]
            self._try_address("")
        else:
            self._outbox.put(Resolve(self._query, host))

    def _try_address(self, reason: str) -> None:
        if not self._addresses:
            self._fail(f"{self._request.host}: {reason}")
            return
        address = self._addresses.pop(0)
        self._flows += 1
        self._flow = FlowId(f"{self._name}.{self._flows}")
        policy = TlsPolicy(self._request.host, self._ca_file, self._tls_verify) if self._request.secure else None
        self._outbox.put(OpenStream(self._flow, address.host, self._request.port, policy))

    def _send(self) -> None:
        assert self._flow is not None
        request = self._request
        self._connection = h11.Connection(h11.CLIENT)
        headers = [("Host", request.authority), ("Connection", "close"), *request.headers]
        if request.body or request.method in ("POST", "PUT"):
            headers.append(("Content-Length", str(len(request.body))))
        data = self._connection.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b""
        if request.body:
            data += self._connection.send(h11.Data(data=request.body)) or b""
        data += self._connection.send(h11.EndOfMessage()) or b""
        self._outbox.put(SendStream(self._flow, data))

    def _feed(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.receive_data(data)
            while True:
                event = connection.next_event()
                if isinstance(event, h11.Response):
                    self._response = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > self._max_body:
                        self._fail(f"the response has over {self._max_body} octets")
                        return
                elif isinstance(event, h11.EndOfMessage):
                    self._on_response()
                    return
                elif event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    return
        except h11.RemoteProtocolError as error:
            self._fail(f"the response cannot be read: {error}")

    def _on_response(self) -> None:
        response = self._response
        assert response is not None
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
        location = next((value for name, value in headers if name == "location"), "")
        if response.status_code in REDIRECTS and location:
            self._redirect(response.status_code, location)
            return
        body = bytes(self._body)
        self._finish()
        self._outbox.put(HttpAnswered(response.status_code, headers, body))

    def _redirect(self, status: int, location: str) -> None:
        before = self._request
        self._redirects += 1
        if self._redirects > MAX_REDIRECTS:
            self._fail(f"over {MAX_REDIRECTS} redirections")
            return
        try:
            after = replace(before, url=urljoin(before.url, location))
        except ValueError:
            self._fail(f"redirected to {location!r}")
            return
        if before.secure and not after.secure:
            self._fail("redirected from https to http")
            return
        if status not in KEEPS_METHOD and before.method != "GET":
            after = replace(after, method="GET", body=b"", headers=())
        self._request = after
        self._close()
        self._connection = self._response = None
        self._body.clear()
        self._begin()

    def _close(self) -> None:
        if self._flow is not None:
            self._outbox.put(CloseFlow(self._flow))
            self._flow = None

    def _finish(self) -> None:
        self._close()
        self._deadline = None
        self._body.clear()

    def _fail(self, reason: str) -> None:
        self._finish()
        self._outbox.put(HttpFailed(reason))
