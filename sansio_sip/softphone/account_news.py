"""What an account says of itself, in the words of the phone."""

from collections.abc import Iterator
from typing import TypeAlias, assert_never

from . import events, outside
from .account import Account
from .account_outputs import Down, LoggedIn, LoggedOut, LoginRefused, Noted, OutsideSaid, Traced, Up
from .events import Event
from .log_book import ALL, INFO, WARNING

__all__ = ["News", "events_of"]

News: TypeAlias = Up | Down | LoggedIn | LoginRefused | LoggedOut | Noted | OutsideSaid | Traced


def events_of(account: Account, news: News) -> Iterator[Event]:
    """What a program is told."""
    match news:
        case Traced():
            yield events.LogLine(ALL, f"{account.id} {news.text}")
        case Noted():
            yield events.LogLine(WARNING if news.is_loss else INFO, f"{account.id}: {news.text}")
        case Up():
            yield from _up(account, news)
        case Down():
            yield from _down(account, news)
        case LoggedIn():
            yield events.Login(account.id, news.token_expires)
        case LoginRefused():
            yield events.LoginFailed(account.id, news.cause, news.status, news.code, news.detail, news.retry_after)
        case LoggedOut():
            yield events.Logout(account.id, news.reason)
        case OutsideSaid():
            yield from outside.events_of(account.id, news.event)
        case _:
            assert_never(news)


def _up(account: Account, news: Up) -> Iterator[Event]:
    if news.hop.secure and not account.options.tls_verify:
        text = f"{account.id}: whoever answers for the server is believed: its certificate is not verified"
        yield events.LogLine(WARNING, text)
    if news.hop.transport in ("WS", "WSS"):
        yield events.WebSocketConnected(account.id)
    yield events.ConnectionChange(account.id, "connected")


def _down(account: Account, news: Down) -> Iterator[Event]:
    if news.was_up:
        yield events.ConnectionChange(account.id, "disconnected", news.code, news.reason)
    if news.was_up and news.retry_in is None:
        yield events.LogLine(INFO, f"{account.id}: signalling flow {news.reason}")
        return
    again = "" if news.retry_in is None else f"; next try in {news.retry_in:.1f} s"
    what = "lost" if news.was_up else "not opened"
    yield events.LogLine(WARNING, f"{account.id}: signalling flow {what}: {news.reason}{again}")
