"""How often a way for media is looked for."""

from sansio_sip.softphone.call import Call
from sansio_sip.softphone.call_info import AccountId, CallDirection, CallUuid
from sansio_sip.softphone.call_table import CallTable
from sansio_sip.softphone.recovery import COURTESY, FIRST_WAIT, Recovery


def searching(call: Call) -> tuple[Recovery, list[float]]:
    """A search for a way in this call from 0 on, and when each restart was made."""
    table, restarts = CallTable({}), list[float]()
    table.add(call)

    def restart(_: Call, now: float) -> bool:
        restarts.append(now)
        return True

    recovery = Recovery(table, restart, lambda _: 45.0)
    recovery.lost(call, now=0.0)
    return recovery, restarts


def outgoing() -> Call:
    return Call(CallUuid("call"), AccountId("alice"), CallDirection.OUTGOING, "sip:alice@a", "sip:bob@b")


def test_a_restart_of_the_peer_puts_ours_off() -> None:
    call = outgoing()
    recovery, restarts = searching(call)
    call.answering_offer = True
    recovery.handle_timeout(now=0.0)
    call.answering_offer = False
    recovery.negotiated(call, now=0.5)
    assert recovery.next_timeout() == 0.5 + FIRST_WAIT > COURTESY
    recovery.handle_timeout(now=0.5 + FIRST_WAIT)
    assert restarts == [0.5 + FIRST_WAIT]


def test_what_is_settled_late_brings_no_restart_forward_and_no_end_later() -> None:
    call = outgoing()
    recovery, restarts = searching(call)
    recovery.handle_timeout(now=0.0)
    recovery.handle_timeout(now=FIRST_WAIT)
    recovery.negotiated(call, now=FIRST_WAIT + 0.1)
    assert restarts == [0.0, FIRST_WAIT]
    assert recovery.next_timeout() == 3 * FIRST_WAIT
    recovery.negotiated(call, now=44.0)
    assert recovery.next_timeout() == 45.0
    assert recovery.handle_timeout(now=45.0) == [call]
