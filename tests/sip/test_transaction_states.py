"""What holds for each transaction machine whatever happens to it, in any order, at any time."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sip.transaction_messages import TCP, UDP, answer, request

from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.transactions.invite_client import InviteClientTransaction
from sansio_sip.sip.transactions.invite_server import InviteServerTransaction
from sansio_sip.sip.transactions.non_invite_client import NonInviteClientTransaction
from sansio_sip.sip.transactions.non_invite_server import NonInviteServerTransaction
from sansio_sip.sip.transactions.outputs import Ended, GivenUp, PassedUp, SendMessage
from sansio_sip.sip.transactions.timing import RFC_TIMING

# The longest wait after the last thing that happened: timer H, then nothing; or a final response, then D, J, L or M.
ROUNDING = 1e-6
SHORT = RFC_TIMING.timeout + ROUNDING
LONGEST = 2 * RFC_TIMING.timeout + ROUNDING

STATUSES = st.sampled_from((100, 180, 183, 200, 202, 302, 401, 486, 503, 603))
DELAYS = st.sampled_from((0.0, 0.0, 0.1, 0.5, 1.0, 4.0, 5.0, 32.0))


class TransactionStates(RuleBasedStateMachine):
    """The rules that all four share; each subclass says how to make one and what may be given to it."""

    machine: Any

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.finals_passed_up = 0
        self.distinct_finals_sent: set[int] = set()
        self.given_up = 0
        self.ended = 0
        self.requests_passed_up = 0

    def make(self, hop: Any) -> Any:
        raise NotImplementedError

    @initialize(reliable=st.booleans())
    def begin(self, reliable: bool) -> None:
        self.machine = self.make(TCP if reliable else UDP)
        self.drain()

    @rule(delay=DELAYS)
    def time_passes(self, delay: float) -> None:
        self.now += delay
        self.machine.handle_timeout(now=self.now)
        self.drain()

    @precondition(lambda self: self.machine.next_timeout() is not None)
    @rule()
    def the_next_timer_fires(self) -> None:
        self.now = max(self.now, self.machine.next_timeout())
        self.machine.handle_timeout(now=self.now)
        self.drain()

    def drain(self) -> None:
        for output in self.machine.outputs():
            assert not self.ended, f"{output} after the end"
            match output:
                case SendMessage(message, hop):
                    assert hop == self.machine.hop
                    if isinstance(message, Response) and message.status >= 200:
                        self.distinct_finals_sent.add(message.status)
                case PassedUp(message):
                    if isinstance(message, Response):
                        self.finals_passed_up += message.status >= 200
                    elif isinstance(message, Request) and message.method != "ACK":
                        self.requests_passed_up += 1
                case GivenUp():
                    self.given_up += 1
                case Ended():
                    self.ended += 1

    @invariant()
    def a_last_state_is_the_last(self) -> None:
        if hasattr(self, "machine"):
            assert self.machine.is_terminated == bool(self.ended)
            if self.ended:
                assert self.ended == 1
                assert self.machine.next_timeout() is None

    @invariant()
    def no_timer_lies_in_the_past(self) -> None:
        if hasattr(self, "machine"):
            deadline = self.machine.next_timeout()
            assert deadline is None or deadline >= self.now

    def settle(self) -> float:
        """Fires timers until none is left; the seconds that took."""
        start = self.now
        while (deadline := self.machine.next_timeout()) is not None:
            assert deadline <= start + LONGEST
            self.now = deadline
            self.machine.handle_timeout(now=deadline)
            self.drain()
        return self.now - start


class ClientStates(TransactionStates):
    @rule(status=STATUSES, tag=st.sampled_from(("one", "two")))
    def response(self, status: int, tag: str) -> None:
        self.machine.receive_response(answer(self.machine.request, status, tag), now=self.now)
        self.drain()

    @rule()
    def flow_is_lost(self) -> None:
        self.machine.flow_lost(now=self.now)
        self.drain()

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self.settle()
            self.check_end()

    def check_end(self) -> None:
        assert self.ended == 1
        assert self.finals_passed_up + self.given_up == 1


class NonInviteClientStates(ClientStates):
    def make(self, hop: Any) -> NonInviteClientTransaction:
        return NonInviteClientTransaction(request("OPTIONS"), hop, now=self.now)


class InviteClientStates(ClientStates):
    def make(self, hop: Any) -> InviteClientTransaction:
        return InviteClientTransaction(request(), hop, now=self.now)

    @rule()
    def cancel(self) -> None:
        self.machine.cancelled(now=self.now)

    def check_end(self) -> None:
        if not self.ended:  # it rings: only the user can end it
            self.machine.cancelled(now=self.now)
            assert self.settle() <= SHORT
        assert self.ended == 1
        # Each 2xx is passed up, and nothing else once there is one; or one failure; or nothing came.
        assert (self.finals_passed_up >= 1) != (self.given_up == 1)


class ServerStates(TransactionStates):
    method = "OPTIONS"

    @rule()
    def request_again(self) -> None:
        self.machine.receive_request(request(self.method), now=self.now)
        self.drain()

    @rule(status=STATUSES)
    def respond(self, status: int) -> None:
        self.machine.respond(answer(self.machine.request, status), now=self.now)
        self.drain()

    @rule()
    def flow_is_lost(self) -> None:
        self.machine.flow_lost(now=self.now)
        self.drain()

    @invariant()
    def one_final_response_at_most(self) -> None:
        failures = {status for status in self.distinct_finals_sent if status >= 300}
        successes = self.distinct_finals_sent - failures
        assert len(failures) <= 1
        assert not (failures and successes)
        assert self.requests_passed_up <= 1

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        self.settle()
        if not self.ended:  # an INVITE whose user has not answered yet
            self.machine.respond(answer(self.machine.request, 486), now=self.now)
            self.drain()
            assert self.settle() <= SHORT
        assert self.ended == 1
        assert self.requests_passed_up == 1


class NonInviteServerStates(ServerStates):
    def make(self, hop: Any) -> NonInviteServerTransaction:
        return NonInviteServerTransaction(request("OPTIONS"), hop, now=self.now)


class InviteServerStates(ServerStates):
    method = "INVITE"

    def make(self, hop: Any) -> InviteServerTransaction:
        return InviteServerTransaction(request(), hop, now=self.now)

    @rule()
    def acknowledge(self) -> None:
        self.machine.receive_request(request("ACK"), now=self.now)
        self.drain()


@pytest.mark.parametrize(
    "states",
    [InviteClientStates, NonInviteClientStates, InviteServerStates, NonInviteServerStates],
    ids=lambda states: states.__name__,
)
def test_a_transaction_ends_once_in_time_and_for_good(states: type[TransactionStates]) -> None:
    run_state_machine_as_test(states, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))
