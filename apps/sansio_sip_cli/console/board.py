"""What a console shows of a server: registrations and calls, from the events it gives and the messages it sends.

A proxy forwards whole messages, so what it sends tells of every call; nothing is asked of the server, and nothing
about it changes. Audio does not pass through it, so there is none to judge.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sansio_sip.effects import SendDatagram, SendStream
from sansio_sip.errors import ParseError
from sansio_sip.server import Server
from sansio_sip.server.events import BindingAdded, BindingRemoved, ServerListening
from sansio_sip.sip.message import Request, Response
from sansio_sip_cli.ladder import messages_in

__all__ = ["Board", "WatchedServer"]

# What is shown of the past: calls that have ended, and messages.
MAX_ENDED, MAX_MESSAGES = 50, 60

# Calls known at a time: a flood of INVITEs must not fill the memory of the process.
MAX_CALLS = 5_000

# Rows of calls and of registrations in a state: more than a person looks through, and all is sent at each change.
MAX_ROWS = 200

# Seconds after which a call that nobody has hung up is no longer shown: a BYE may pass by another way.
FORGOTTEN = 12 * 3600.0


@dataclass(slots=True)
class BoardCall:
    """A call that the server forwards. Times are Unix time."""

    caller: str
    callee: str
    began: float
    state: str = "calling"
    answered: float | None = None
    ended: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "from": self.caller,
            "to": self.callee,
            "state": self.state,
            "began": self.began,
            "answered": self.answered,
            "ended": self.ended,
        }


class Board:
    """The state that a console shows. `clock` gives Unix time; `changed()` is called when there is news."""

    def __init__(self, clock: Callable[[], float], changed: Callable[[], object] = lambda: None) -> None:
        self.changed = changed
        self.urls: list[str] = []
        self._clock = clock
        self._began = clock()
        self._bindings: dict[tuple[str, str], dict[str, Any]] = {}
        self._calls: dict[str, BoardCall] = {}
        self._ended: deque[BoardCall] = deque(maxlen=MAX_ENDED)
        self._messages: deque[dict[str, Any]] = deque(maxlen=MAX_MESSAGES)
        self._counts = {"calls": 0, "answered": 0, "failed": 0, "messages": 0}

    def take(self, output: Any) -> None:
        """An output of the server."""
        now = self._clock()
        match output:
            case SendDatagram() | SendStream():
                for message in messages_in(output.data, is_stream=isinstance(output, SendStream)):
                    self._sent(message, now)
            case ServerListening():
                self.urls.append(output.url)
            case BindingAdded():
                self._bindings[output.address, output.contact] = {**output.as_dict(), "since": now}
            case BindingRemoved():
                self._bindings.pop((output.address, output.contact), None)
            case _:
                return
        self.changed()

    def as_dict(self, counters: dict[str, int]) -> dict[str, Any]:
        """Everything, for JSON; of calls and registrations the oldest `MAX_ROWS`, and how many there are."""
        now = self._clock()
        for name, call in list(self._calls.items()):
            if now - call.began > FORGOTTEN:
                self._end(name, "forgotten", now)
        return {
            "now": now,
            "since": self._began,
            "urls": self.urls,
            "registrations": list(islice(self._bindings.values(), MAX_ROWS)),
            "registered": len(self._bindings),
            "calls": [call.as_dict() for call in islice(self._calls.values(), MAX_ROWS)],
            "underway": len(self._calls),
            "ended": [call.as_dict() for call in reversed(self._ended)],
            "messages": list(reversed(self._messages)),
            "counts": {**self._counts, **{name: count for name, count in counters.items() if count}},
        }

    def _sent(self, message: Request | Response, now: float) -> None:
        self._counts["messages"] += 1
        caller, callee = str(message.from_.uri), str(message.to.uri)
        label = message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
        self._messages.append({"at": now, "label": label, "from": caller, "to": callee})
        if isinstance(message, Request):
            self._requested(message, caller, callee, now)
        elif message.cseq.method == "INVITE":
            self._responded(message, now)

    def _requested(self, request: Request, caller: str, callee: str, now: float) -> None:
        name = request.call_id
        if request.method == "INVITE" and request.to.tag is None:
            if name not in self._calls and len(self._calls) < MAX_CALLS:
                self._calls[name] = BoardCall(caller, callee, now)
                self._counts["calls"] += 1
        elif request.method == "BYE":
            self._end(name, "ended", now)

    def _responded(self, response: Response, now: float) -> None:
        call = self._calls.get(response.call_id)
        if call is None or call.answered is not None:
            return
        if response.status < 200:
            call.state = "ringing" if response.status >= 180 else call.state
        elif response.status < 300:
            call.state, call.answered = "talking", now
            self._counts["answered"] += 1
        else:
            self._counts["failed"] += 1
            self._end(response.call_id, f"{response.status} {response.reason}", now)

    def _end(self, name: str, how: str, now: float) -> None:
        call = self._calls.pop(name, None)
        if call is not None:
            call.state, call.ended = how, now
            self._ended.append(call)


class WatchedServer:
    """A server whose outputs are shown to a board on their way to the driver."""

    def __init__(self, server: Server, board: Board) -> None:
        self._server = server
        self._board = board

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def poll_output(self) -> Any:
        output = self._server.poll_output()
        if output is not None:
            self._show(output)
        return output

    def outputs(self) -> Iterator[Any]:
        while (output := self.poll_output()) is not None:
            yield output

    def _show(self, output: Any) -> None:
        with suppress(ParseError):  # a header that only the board wants to read
            self._board.take(output)
