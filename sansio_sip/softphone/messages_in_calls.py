"""INFO and MESSAGE of a far end, in the words of the phone."""

from sansio_sip.dtmf.info import parse_info
from sansio_sip.errors import ParseError
from sansio_sip.sip.call_events import InfoReceived, MessageReceived

from . import events
from .call import Call, identity
from .call_info import AccountId
from .call_table import CallTable

__all__ = ["said_by_info", "said_by_message"]


def said_by_info(table: CallTable, call: Call, said: InfoReceived) -> None:
    """A key, or one of the reference's own words."""
    match said.body.strip():
        case b"remote-party-ringing":
            table.put(events.CallConnected(call.account, call.info))
            return
        case b"remote-audio" | b"no-remote-audio":
            status = not said.body.strip().startswith(b"no-")
            table.put(events.RemoteAudioStatus(call.account, call.info, status))
            return
        case _:
            pass
    try:
        key = parse_info(said.content_type, said.body)
    except ParseError:
        return  # INFO has other uses, none of them ours
    table.put(events.DtmfReceived(call.account, call.info, key.digit, key.duration_ms))


def said_by_message(table: CallTable, account: AccountId, said: MessageReceived) -> None:
    """A text, in a call or outside of calls."""
    within = table.by_sip(account, said.call) if said.call is not None else None
    uuid = within.uuid if within is not None else None
    table.put(events.MessageReceived(account, uuid, identity(said.sender), said.content_type, said.body))
