"""User agents in virtual time: a pipe that loses, delays and reorders datagrams, and a peer that a test plays."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, FlowId
from sansio_sip.sip.headers import CSeq
from sansio_sip.sip.identity import AccountConfig
from sansio_sip.sip.message import Message, Request
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri, parse_uri
from sansio_sip.sip.user_agent import SendMessage, UserAgent

__all__ = ["ALICE", "ANSWER", "BOB", "OFFER", "Node", "Pipe", "Stranger", "config", "name_of"]

ALICE, BOB = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)
OFFER, ANSWER = b"v=0 offer\r\n", b"v=0 answer\r\n"


def config(name: str = "alice", password: str = "", **more: object) -> AccountConfig:
    return AccountConfig(SipUri("example.com", name), name, Secret(password), **more)  # type: ignore[arg-type]


def name_of(message: Message) -> str:
    """`INVITE`, or `200 INVITE` of a response."""
    return message.method if isinstance(message, Request) else f"{getattr(message, 'status', '')} {message.cseq.method}"


class Node:
    """A user agent with what it has said."""

    def __init__(self, name: str, address: Address, seed: int, server: Address | None = None, **more: Any) -> None:
        self.name = name
        self.address = address
        self.ua = UserAgent(Context(Entropy(Random(f"{name} {seed}"))), config(name, **more))
        self.hop = Hop("UDP", server, address, FlowId(name))
        self.events: list[object] = []
        self.sent: list[Message] = []

    def take(self) -> list[tuple[bytes, Hop]]:
        """What is to be sent; events are put aside."""
        out = []
        for output in self.ua.outputs():
            if isinstance(output, SendMessage):
                self.sent.append(parse_message(output.data))
                out.append((output.data, output.hop))
            else:
                self.events.append(output)
        return out

    def of(self, *kinds: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def names(self) -> list[str]:
        """What was sent, by name."""
        return [name_of(message) for message in self.sent]


class Pipe:
    """Joins nodes by UDP. Loss, delay and jitter (seconds) hold for each datagram on its own.

    `drop(sender, message)` takes single datagrams away, whatever the loss is.
    """

    def __init__(self, seed: int = 1, *, loss: float = 0.0, delay: float = 0.01, jitter: float = 0.0) -> None:
        self.now = 1000.0
        self.nodes: dict[Address, Node] = {}
        self.log: list[str] = []
        self.drop: Callable[[Node, Message], bool] = lambda _sender, _message: False
        self.delay_of: Callable[[Node, Message], float] = lambda _sender, _message: 0.0
        self._seed = seed
        self._random = Random(seed)
        self._loss, self._delay, self._jitter = loss, delay, jitter
        self._wire: list[tuple[float, int, Address, Address, bytes]] = []
        self._serial = 0

    def add(self, name: str, address: Address) -> Node:
        node = self.nodes[address] = Node(name, address, self._seed)
        node.ua.flow_ready(node.hop, now=self.now)
        return node

    def flush(self) -> None:
        for node in self.nodes.values():
            for data, hop in node.take():
                self._send(node, data, hop)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Lets time go by; `until` ends it early."""
        end = self.now + seconds
        while True:
            self.flush()
            if until is not None and until():
                return
            times = [node.ua.next_timeout() for node in self.nodes.values()]
            if self._wire:
                times.append(self._wire[0][0])
            due = min((time for time in times if time is not None), default=None)
            if due is None or due > end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, due)
            while self._wire and self._wire[0][0] <= self.now:
                _, _, source, destination, data = heappop(self._wire)
                node = self.nodes.get(destination)
                if node is not None:
                    hop = Hop("UDP", source, destination, node.hop.flow)
                    node.ua.receive_message(parse_message(data), hop, now=self.now)
                    self.flush()
            for node in self.nodes.values():
                node.ua.handle_timeout(now=self.now)

    def _send(self, sender: Node, data: bytes, hop: Hop) -> None:
        assert hop.address is not None
        message = parse_message(data)
        lost = self._random.random() < self._loss
        late = self._delay + self._random.random() * self._jitter + self.delay_of(sender, message)
        dropped = lost or self.drop(sender, message)
        self.log.append(f"{sender.name}: {name_of(message)}{' (lost)' if dropped else ''}")
        if dropped:
            return
        self._serial += 1
        heappush(self._wire, (self.now + late, self._serial, sender.address, hop.address, data))


class Stranger:
    """One user agent, and a peer that the test plays by hand."""

    def __init__(self, *, server: Address | None = None, seed: int = 1, transport: str = "UDP", **more: Any) -> None:
        self.now = 1000.0
        self.node = Node("alice", ALICE, seed, server, **more)
        self.ua = self.node.ua
        if transport != "UDP":
            self.node.hop = Hop(transport, server, ALICE, FlowId("alice"))
        self.hop = Hop(transport, server or BOB, ALICE, FlowId("alice"))
        self.ua.flow_ready(self.node.hop, now=self.now)
        self._serial = 0

    def sent(self) -> list[Message]:
        """What the user agent has sent since this was asked last."""
        start = len(self.node.sent)
        self.node.take()
        return self.node.sent[start:]

    def names(self) -> list[str]:
        return [name_of(message) for message in self.sent()]

    def events(self) -> list[object]:
        """What it has told since this was asked last."""
        self.node.take()
        events, self.node.events = self.node.events, []
        return events

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.ua.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.ua.handle_timeout(now=self.now)
        self.now = end

    def give(self, message: Message) -> None:
        self.ua.receive_message(parse_message(bytes(message)), self.hop, now=self.now)

    def respond(
        self,
        request: Request,
        status: int,
        *,
        tag: str | None = "bob",
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        contact: str | None = "<sip:bob@192.0.2.2:5060>",
    ) -> None:
        rows = list(headers)
        if contact is not None and request.method in ("INVITE",) and 100 < status < 300:
            rows.append(("Contact", contact))
        if body:
            rows.append(("Content-Type", "application/sdp"))
        self.give(request.response(status, to_tag=tag if status > 100 else None, headers=rows, body=body))

    def request(
        self,
        method: str,
        *,
        number: int = 1,
        call_id: str = "bob-1",
        to_tag: str | None = None,
        from_tag: str = "bob",
        branch: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        content_type: str | None = "application/sdp",
        uri: str | SipUri = "sip:alice@192.0.2.1",
    ) -> Request:
        """A request of the peer's."""
        self._serial += 1
        rows = [
            ("Via", f"SIP/2.0/UDP 192.0.2.2:5060;branch={branch or f'z9hG4bKstranger{self._serial}'};rport"),
            ("From", f"<sip:bob@example.com>;tag={from_tag}"),
            ("To", "<sip:alice@example.com>" + (f";tag={to_tag}" if to_tag else "")),
            ("Call-ID", call_id),
            ("CSeq", str(CSeq(number, method))),
            ("Max-Forwards", "70"),
            *headers,
        ]
        if method == "INVITE":
            rows.append(("Contact", "<sip:bob@192.0.2.2:5060>"))
        if body and content_type is not None:
            rows.append(("Content-Type", content_type))
        return Request(method, parse_uri(uri) if isinstance(uri, str) else uri, rows, body)
