"""The registrations of one account: one for each line, so that a server can reach it by any of them (RFC 5626).

Theory of operation
-------------------
Each line has a `Registration`, and credentials of its own: two servers of one realm give it two nonces. All are begun
together; once one has succeeded, the others go on until they do. A registrar that knows nothing of reg-ids would call
us once for each line: a line of which that has turned out is let go (`unregister` with its number), and taken up again
(`register` with its number) by whoever has need of it.

`Unregistered` is said once, when the last binding is gone; `LineUnregistered` when that of one line is. The keys of
requests are those of the registrations, counted through.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.machine import Outbox
from sansio_sip.timers import earlier

from .authorization import Authenticator
from .identity import Identity
from .lines import Line
from .message import Response
from .registration import Registered, Registration, RegistrationFailed, RegistrationState, Unregistered
from .transaction_user import SendRequest
from .transactions.outputs import FailureReason

__all__ = ["LineUnregistered", "Registrations", "RegistrationsOutput"]


@dataclass(frozen=True, slots=True)
class LineUnregistered:
    """The binding of one line is gone, as was wanted of that line alone. `line` is its reg-id."""

    line: int


RegistrationsOutput: TypeAlias = SendRequest | Registered | RegistrationFailed | Unregistered | LineUnregistered


class Registrations:
    """The machine. It reads `identity`, and writes down in its lines what the registrars grant."""

    def __init__(self, context: Context, identity: Identity, authenticator: Authenticator) -> None:
        self._lines = identity.lines
        several = len(self._lines) > 1
        self._rows = {
            line.number: Registration(context, identity, line, authenticator.for_line() if several else authenticator)
            for line in self._lines
        }
        self._outbox: Outbox[RegistrationsOutput] = Outbox()
        self._wanted = False
        self._owed = False  # whoever takes the bindings away waits for `Unregistered`
        self._succeeded = False  # any of them, since they are wanted
        self._let_go: set[int] = set()  # lines of which no binding is wanted for now

    @property
    def is_idle(self) -> bool:
        """Whether no answer is waited for."""
        return all(row.is_idle for row in self._rows.values())

    def __getitem__(self, line: int) -> Registration:
        """That of a line: for reading."""
        return self._rows[line]

    def line_of(self, key: int) -> Line:
        """The line by which the request of that key goes."""
        return self._lines[key % len(self._rows) + 1]

    # Commands

    def register(self, line: int | None = None, *, now: float) -> None:
        """Asks for bindings, or refreshes them at once; `line` names one alone. Gives Registered or
        RegistrationFailed for each."""
        if not self._wanted:
            self._wanted, self._owed, self._succeeded = True, False, False
            self._let_go.clear()
        for number, row in self._rows.items():
            if line == number or (line is None and number not in self._let_go):
                self._let_go.discard(number)
                row.register(persist=self._succeeded, now=now)
        self._drain(now)

    def unregister(self, line: int | None = None, *, now: float) -> None:
        """Takes the bindings away. Gives Unregistered; for `line` alone LineUnregistered."""
        if line is None:
            self._wanted, self._owed = False, True
        else:
            self._let_go.add(line)
        for number, row in self._rows.items():
            if line in (None, number):
                row.unregister(now=now)
        self._drain(now)

    # Inputs

    def flow_ready(self, line: int, *, now: float) -> None:
        self._rows[line].flow_ready(now=now)
        self._drain(now)

    def flow_lost(self, line: int, *, now: float) -> None:
        self._rows[line].flow_lost(now=now)
        self._drain(now)

    def receive_response(self, key: int, response: Response, *, now: float) -> None:
        line, own = self.line_of(key).number, key // len(self._rows)
        self._rows[line].receive_response(own, response, now=now)
        self._drain(now)

    def request_failed(self, key: int, reason: FailureReason, *, now: float) -> None:
        line, own = self.line_of(key).number, key // len(self._rows)
        self._rows[line].request_failed(own, reason, now=now)
        self._drain(now)

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for row in self._rows.values():
            row.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        deadline: float | None = None
        for row in self._rows.values():
            deadline = earlier(deadline, row.next_timeout())
        return deadline

    def poll_output(self) -> RegistrationsOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[RegistrationsOutput]:
        return self._outbox.drain()

    def _drain(self, now: float) -> None:
        for number, row in self._rows.items():
            for output in row.outputs():
                match output:
                    case SendRequest():
                        key = output.key * len(self._rows) + number - 1
                        self._outbox.put(SendRequest(key, output.request))
                    case Registered():
                        self._outbox.put(output)
                        self._has_succeeded(now)
                    case RegistrationFailed():
                        self._outbox.put(output)
                    case Unregistered():
                        if self._wanted:
                            self._outbox.put(LineUnregistered(number))
                        else:
                            self._owed = True
                    case _:
                        assert_never(output)
        if self._owed and all(row.state is RegistrationState.IDLE for row in self._rows.values()):
            self._owed = False
            self._outbox.put(Unregistered())

    def _has_succeeded(self, now: float) -> None:
        """The account is known to be good: the other lines go on until they have succeeded as well."""
        if self._succeeded or not self._wanted:
            return
        self._succeeded = True
        for number, row in self._rows.items():
            if row.state is not RegistrationState.IDLE:
                row.persist()
            elif number not in self._let_go:
                row.register(persist=True, now=now)
        self._drain(now)
