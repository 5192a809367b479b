"""A server on a bench: messages made by hand go in at addresses and streams, and what comes out is kept for each."""

import random
from collections import deque
from collections.abc import Callable, Iterable

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, CloseFlow, FlowId, Listen, OpenDatagram, OpenStream, SendDatagram, SendStream
from sansio_sip.errors import ParseError
from sansio_sip.server import Server, ServerOptions
from sansio_sip.server.events import ServerEvent
from sansio_sip.sip.digest import DigestClient
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import StreamParser, parse_message
from sansio_sip.sip.uri import SipUri, parse_uri
from sansio_sip.web_socket import MessageReceived, SendData, WebSocketConnection

__all__ = ["DOMAIN", "Bench", "Device", "make_options"]

DOMAIN = "example.com"
USERS = {"alice": Secret("wonderland"), "bob": Secret("builder"), "carol": Secret("christmas")}
SERVER = Address("192.0.2.1", 5060)
WS_SERVER = Address("192.0.2.1", 8080)


def make_options(**changes: object) -> ServerOptions:
    fields: dict[str, object] = {
        "domain": DOMAIN,
        "listen": ("udp://192.0.2.1:5060", "tcp://192.0.2.1:5060", "ws://192.0.2.1:8080"),
        "users": USERS,
        **changes,
    }
    return ServerOptions(**fields)  # type: ignore[arg-type]  # a table of fields


def _context() -> Context:
    return Context(Entropy(random.Random(7)))


class Bench:
    """The server, its time, and the far ends."""

    def __init__(self, options: ServerOptions | None = None, context: Context | None = None) -> None:
        self.now = 0.0
        self.server = Server(context or _context(), options or make_options())
        self.devices: list[Device] = []
        self.events: list[ServerEvent] = []
        self.closed: list[FlowId] = []
        self.opened: list[OpenStream] = []
        self._streams = 0
        for output in list(self.server.outputs()):
            match output:
                case OpenDatagram(flow, bind) | Listen(flow, bind):
                    self.server.flow_opened(flow, bind, now=self.now)
                case _:
                    raise AssertionError(output)
        self.pump()

    def udp(self, user: str, host: str, port: int = 5060) -> "Device":
        return self._add(Device(self, user, "UDP", Address(host, port)))

    def tcp(self, user: str, host: str) -> "Device":
        return self._accept(user, "TCP", host, "tcp1", SERVER)

    def ws(self, user: str, host: str) -> "Device":
        device = self._accept(user, "WS", host, "ws2", WS_SERVER)
        device.web_socket = WebSocketConnection.client(_context(), host="192.0.2.1:8080", now=self.now)
        device.flush()
        return device

    def run(self, until: float) -> None:
        """Lets time pass, timer by timer."""
        while (deadline := self.server.next_timeout()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.server.handle_timeout(now=self.now)
            self.pump()
        self.now = until

    def pump(self) -> None:
        for output in self.server.outputs():
            match output:
                case SendDatagram(_, data, destination):
                    for device in self.devices:
                        if device.transport == "UDP" and device.address == destination:
                            device.arrived(data)
                case SendStream(flow, data):
                    for device in self.devices:
                        if device.flow == flow:
                            device.arrived(data)
                case CloseFlow(flow):
                    self.closed.append(flow)
                case OpenStream():
                    self.opened.append(output)
                case OpenDatagram() | Listen():
                    raise AssertionError(output)
                case _:
                    self.events.append(output)  # type: ignore[arg-type]  # no other effect is left

    def _add(self, device: "Device") -> "Device":
        self.devices.append(device)
        return device

    def _accept(self, user: str, transport: str, host: str, listener: str, local: Address) -> "Device":
        self._streams += 1
        address = Address(host, 30_000 + self._streams)
        flow = FlowId(f"{listener}#{self._streams}")
        self.server.flow_accepted(FlowId(listener), flow, local, address, now=self.now)
        self.pump()
        return self._add(Device(self, user, transport, address, flow))


class Device:
    """A far end that does nothing by itself."""

    def __init__(self, bench: Bench, user: str, transport: str, address: Address, flow: FlowId | None = None) -> None:
        self.bench = bench
        self.user = user
        self.transport = transport
        self.address = address
        self.flow = flow
        self.web_socket: WebSocketConnection | None = None
        self.inbox: deque[Request | Response] = deque()
        self.octets = bytearray()
        self._parser = StreamParser()
        self._digest = DigestClient(_context(), user, USERS.get(user, Secret("")))
        self._serial = 0
        if transport == "WS":
            self.contact = f"<sip:{user}@{user}.invalid;transport=ws>"
            self.sent_by = f"{user}.invalid"
        else:
            suffix = ";transport=tcp" if transport == "TCP" else ""
            self.contact = f"<sip:{user}@{address}{suffix}>"
            self.sent_by = str(address)

    # What goes to the server

    def send(self, message: Request | Response | bytes) -> None:
        data = message if isinstance(message, bytes) else bytes(message)
        bench = self.bench
        if self.web_socket is not None:
            self.web_socket.send(data, now=bench.now)
            self.flush()
        elif self.flow is not None:
            bench.server.receive_stream(self.flow, data, now=bench.now)
        else:
            bench.server.receive_datagram(FlowId("udp0"), data, self.address, now=bench.now)
        bench.pump()

    def flush(self) -> None:
        assert self.web_socket is not None
        assert self.flow is not None
        for output in self.web_socket.outputs():
            match output:
                case SendData(data):
                    self.bench.server.receive_stream(self.flow, data, now=self.bench.now)
                    self.bench.pump()
                case MessageReceived(data):
                    self._parse(data)
                case _:
                    pass

    def lose(self) -> None:
        """The stream breaks."""
        assert self.flow is not None
        self.bench.server.flow_lost(self.flow, "reset", now=self.bench.now)
        self.bench.pump()

    def request(
        self,
        method: str,
        uri: str,
        *,
        to: str | None = None,
        call_id: str = "call",
        number: int = 1,
        branch: str | None = None,
        rows: Iterable[tuple[str, str]] = (),
        max_forwards: int | None = 70,
    ) -> Request:
        """A request of this device's user, with a branch of its own."""
        self._serial += 1
        branch = branch or f"z9hG4bK{self.user}{self._serial}"
        forwards = () if max_forwards is None else (("Max-Forwards", str(max_forwards)),)
        return Request(
            method,
            parse_uri(uri),
            [
                ("Via", f"SIP/2.0/{self.transport} {self.sent_by};rport;branch={branch}"),
                *forwards,
                ("From", f"<sip:{self.user}@{DOMAIN}>;tag={self.user}1"),
                ("To", to or f"<{uri}>"),
                ("Call-ID", f"{self.user}-{call_id}"),
                ("CSeq", f"{number} {method}"),
                *rows,
            ],
        )

    def send_with_password(self, make: Callable[[int, tuple[tuple[str, str], ...]], Request]) -> Request:
        """Sends what `make(number, rows)` makes; answers a 401 or 407. The request that was let through."""
        first = make(1, ())
        self.send(first)
        refusal = self.take_response()
        challenges = refusal.www_authenticate or refusal.proxy_authenticate
        assert self._digest.challenged(challenges)
        name = "Authorization" if refusal.status == 401 else "Proxy-Authorization"
        if first.method == "INVITE":
            ack = self.request("ACK", str(first.uri), to=str(refusal.to), branch=first.top_via.branch)
            self.send(ack)
        value = self._digest.authorization(first.method, str(first.uri))
        second = make(2, ((name, value),))
        self.send(second)
        return second

    def register(self, contact: str | None = None, *, expires: int | None = 300, call_id: str = "reg") -> Response:
        """Registers with a password; the final response."""
        rows = [("Contact", contact or self.contact)]
        if expires is not None:
            rows.append(("Expires", str(expires)))
        self.send_with_password(
            lambda number, extra: self.request(
                "REGISTER",
                f"sip:{DOMAIN}",
                to=f"<sip:{self.user}@{DOMAIN}>",
                call_id=f"{call_id}{self._serial}",
                number=number,
                rows=[*rows, *extra],
            )
        )
        return self.take_response()

    def invite(self, user: str, *, rows: Iterable[tuple[str, str]] = (), call_id: str = "call") -> Request:
        """Calls a user of the domain, with a password; the INVITE that was let through."""
        return self.send_with_password(
            lambda number, extra: self.request(
                "INVITE",
                f"sip:{user}@{DOMAIN}",
                call_id=call_id,
                number=number,
                rows=[("Contact", self.contact), *rows, *extra],
            )
        )

    def answer(self, request: Request, status: int, *, tag: str | None = None, contact: bool = True) -> Response:
        rows = [("Contact", self.contact)] if contact and status < 300 else []
        response = request.response(status, to_tag=tag or f"{self.user}2", headers=rows)
        self.send(response)
        return response

    def in_dialog(
        self, method: str, response: Response, *, number: int, max_forwards: int | None = 70, branch: str | None = None
    ) -> Request:
        """A request of the caller in the dialog that a 2xx has made: Routes reversed (RFC 3261 section 12.1.2)."""
        target = response.contacts[0].uri
        assert isinstance(target, SipUri)
        routes = [("Route", str(route)) for route in reversed(response.record_routes)]
        request = self.request(
            method,
            str(target),
            to=str(response.to),
            number=number,
            rows=routes,
            max_forwards=max_forwards,
            branch=branch,
        )
        request.headers.set("From", str(response.from_))
        request.headers.set("Call-ID", response.call_id)
        return request

    def in_dialog_back(self, method: str, invite: Request, *, number: int = 1) -> Request:
        """A request of the callee in the dialog that it has accepted: Routes as they came."""
        routes = [("Route", str(route)) for route in invite.record_routes]
        request = self.request(
            method, str(invite.contacts[0].uri), to=str(invite.from_), number=number, rows=routes, call_id="x"
        )
        request.headers.set("From", str(invite.to.with_tag(f"{self.user}2")))
        request.headers.set("Call-ID", invite.call_id)
        return request

    # What came from it

    def arrived(self, data: bytes) -> None:
        if self.web_socket is not None:
            self.web_socket.receive(data, now=self.bench.now)
            self.flush()
        elif self.flow is not None:
            self.octets += data
            self._parser.receive(data)
            self.inbox += [m for m in self._parser.messages() if isinstance(m, Request | Response)]
        elif data.strip():
            self._parse(data)
        else:
            self.octets += data

    def _parse(self, data: bytes) -> None:
        try:
            self.inbox.append(parse_message(data))
        except ParseError:
            self.octets += data  # a refusal that echoes what was malformed

    def take_request(self, method: str) -> Request:
        message = self.inbox.popleft()
        assert isinstance(message, Request), message
        assert message.method == method
        return message

    def take_response(self, status: int | None = None) -> Response:
        message = self.inbox.popleft()
        assert isinstance(message, Response), message
        assert status in (None, message.status), message
        return message

    def statuses(self) -> list[int]:
        """Takes all responses that have come."""
        taken = [message.status for message in self.inbox if isinstance(message, Response)]
        self.inbox = deque(message for message in self.inbox if not isinstance(message, Response))
        return taken
