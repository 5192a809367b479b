"""A web server as a machine, for simulated and for real networks: it says what it is told to, and keeps what it got."""

import json
from collections.abc import Iterator
from typing import Any

import h11

from sansio_sip.effects import Address, CloseFlow, FlowId, Listen, SendStream
from sansio_sip.machine import Outbox

__all__ = ["WebServer"]


class WebServer:
    """Attributes: `answers` are taken in order, the last one for ever: status and headers; `bodies` what was posted."""

    def __init__(self, bind: Address, *answers: tuple[int, dict[str, str]], body: bytes = b"") -> None:
        self.answers = list(answers) or [(200, {})]
        self.body = body
        self.bodies: list[Any] = []
        self.address: Address | None = None
        self._connections: dict[FlowId, h11.Connection] = {}
        self._got: dict[FlowId, bytes] = {}
        self._outbox: Outbox[Any] = Outbox()
        self._outbox.put(Listen(FlowId("web"), bind))

    def flow_opened(self, flow: FlowId, local: Address, *args: Any, now: float) -> None:
        self.address = local

    def flow_accepted(self, listener: FlowId, flow: FlowId, *args: Any, now: float) -> None:
        self._connections[flow] = h11.Connection(h11.SERVER)
        self._got[flow] = b""

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        connection = self._connections.get(flow)
        if connection is None:
            return
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                self._got[flow] += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._answer(flow, connection)
                return
            elif not isinstance(event, h11.Request):
                return

    def _answer(self, flow: FlowId, connection: h11.Connection) -> None:
        if self._got[flow]:
            self.bodies.append(json.loads(self._got[flow]))
        status, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        rows = [*headers.items(), ("Content-Length", str(len(self.body)))]
        out = connection.send(h11.Response(status_code=status, headers=rows)) or b""
        if self.body:
            out += connection.send(h11.Data(data=self.body)) or b""
        out += connection.send(h11.EndOfMessage()) or b""
        self._outbox.put(SendStream(flow, out))
        self._outbox.put(CloseFlow(flow))

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None: ...

    def receive_datagram(self, *args: Any, now: float) -> None: ...

    def resolved(self, *args: Any, now: float) -> None: ...

    def interfaces_changed(self, *args: Any, now: float) -> None: ...

    def handle_timeout(self, *, now: float) -> None: ...

    def next_timeout(self) -> float | None:
        return None

    def poll_output(self) -> Any:
        return self._outbox.poll()

    def outputs(self) -> Iterator[Any]:
        return self._outbox.drain()
