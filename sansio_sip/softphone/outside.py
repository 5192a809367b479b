"""What an account does outside of calls, in the words of the phone: texts and subscriptions."""

from collections.abc import Iterator
from typing import assert_never

from sansio_sip.errors import ParseError
from sansio_sip.sip.message_summary import CONTENT_TYPE, MessageSummary
from sansio_sip.sip.standalone import RequestAnswered, StandaloneEvent
from sansio_sip.sip.subscription import Notified, SubscriptionEnded, SubscriptionId

from . import events
from .account import Account
from .call import target_uri
from .call_info import AccountId
from .events import Event

__all__ = ["events_of", "send_message", "subscribe", "unsubscribe"]


def send_message(account: Account, target: str, text: str, *, now: float) -> int:
    """Sends a MESSAGE. Raises LocalProtocolError: no flow, a bad target, or too many under way."""
    uri = target_uri(target, account.options.uri().host, by_address=not account.servers)
    return account.user_agent.page(uri, "text/plain;charset=utf-8", text.encode(), now=now)


def subscribe(account: Account, event: str, target: str | None, *, now: float) -> SubscriptionId:
    """Raises LocalProtocolError: no flow, a bad target, or too many subscriptions."""
    uri = account.options.uri()
    if target is not None:
        uri = target_uri(target, uri.host, by_address=not account.servers)
    return account.user_agent.subscribe(uri, event, now=now)


def unsubscribe(account: Account, subscription: str, *, now: float) -> None:
    """Raises LocalProtocolError where there is none of that name."""
    account.user_agent.unsubscribe(SubscriptionId(subscription), now=now)


def events_of(account: AccountId, said: StandaloneEvent) -> Iterator[Event]:
    """What a program is told."""
    match said:
        case RequestAnswered():
            yield events.RequestAnswered(account, said.request, said.status, said.cause)
        case Notified():
            yield events.Notified(account, said.subscription, said.event, said.state, said.content_type, said.body)
            if said.content_type == CONTENT_TYPE:
                try:
                    yield events.MessagesWaiting(account, said.subscription, MessageSummary.parse(said.body))
                except ParseError:
                    return  # whoever wants to read it has it as it came
        case SubscriptionEnded():
            yield events.SubscriptionEnded(account, said.subscription, said.status, said.reason)
        case _:
            assert_never(said)
