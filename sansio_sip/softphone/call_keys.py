"""Keys of a telephone, sent outside of its sound: a SIP INFO for each."""

from typing import Literal, TypeAlias

from sansio_sip.dtmf.info import DTMF_RELAY, relay_body
from sansio_sip.errors import LocalProtocolError

from . import events
from .call_info import CallState, CallUuid
from .call_table import CallTable

__all__ = ["MAX_KEYS", "KeyWay", "send_keys_by_info"]

MAX_KEYS = 32
"""Keys at a time: each is a transaction of its own, and a card number has 19."""

KeyWay: TypeAlias = Literal["event", "sound", "info"]
"""How a key is sent: as telephone-event (RFC 4733), as the sound of its two tones, or by SIP INFO."""


def send_keys_by_info(table: CallTable, call: CallUuid, digits: str, *, now: float) -> None:
    """Sends an INFO (`application/dtmf-relay`) for each key, in order. Gives DtmfSent.

    Raises LocalProtocolError: a bad digit, a pause, no key or more than `MAX_KEYS`, or the call was not answered.
    """
    if not 0 < len(digits) <= MAX_KEYS:
        raise LocalProtocolError(f"cannot send {len(digits)} digits by INFO; give 1 to {MAX_KEYS} at a time")
    row = table.get(call)
    bodies = [relay_body(digit) for digit in digits]
    if row.state is not CallState.ANSWERED or row.sip is None:
        raise LocalProtocolError(f"cannot send digits: call {call} is {row.state.value}; it must be answered first")
    for body in bodies:
        table.user_agent(row).send_info(row.sip, DTMF_RELAY, body, now=now)
    table.touched(row)
    table.put(events.DtmfSent(row.account, row.info))
