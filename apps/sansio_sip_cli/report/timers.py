"""Which timers of a machine have fired, whose they are, and why.

Every machine keeps its timers in a `TimerSet`, named by an enum. `watched_timers` is told of each that fires. Whose a
set is, is found by a walk over the machine, from attribute to attribute: machines know nothing of who watches them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

from sansio_sip.timers import TimerSet

__all__ = ["owner_of", "watched_timers", "why"]

# The method of every `TimerSet` that takes those that are due.
METHOD = "due"

# Objects looked at in search of an owner: many more than a phone with a hundred calls has.
MAX_WALK = 200_000

# By the module of the enum: what its names mean, where their values do not say it in a sentence.
WORDS: Mapping[str, Mapping[str, str]] = {
    "sansio_sip.web_socket": {
        "OPEN": "the WebSocket handshake has had its time",
        "CLOSE": "the peer has had its time to close the WebSocket",
    },
    "sansio_sip.connection_state": {
        "ATTEMPT": "this address of the server has not answered in time",
        "KEEPALIVE": "the connection has been silent: a keepalive is due",
        "PONG": "the server has not answered a keepalive",
        "RETRY": "the pause before the next try is over",
        "TURN": "this server has had its time; the next one is tried",
    },
    "sansio_sip.softphone.account": {"LOGIN": "the server has not answered the login in time"},
    "sansio_sip.softphone.softphone": {"CLOSE": "closing has had its time: what is left is dropped"},
    "sansio_sip_media.rtcp.session": {"REPORT": "a report of sent and received packets is due"},
    "sansio_sip_media.dtls": {
        "REPEAT": "no answer to our DTLS flight within three round trips: it is sent again at once",
        "RETRANSMIT": "no answer to our DTLS flight: it is sent again",
        "GIVE_UP": "the DTLS handshake has had its time",
    },
    "sansio_sip_media.ice.turn": {
        "REFRESH": "the allocation at the relay is about to end",
        "PEERS": "permissions and channels at the relay are about to end",
    },
    "sansio_sip_media.ice.gathering": {
        "PACE": "the next request to a STUN or TURN server may start",
        "LIMIT": "gathering of candidates has had its time",
        "KEEPALIVE": "the NAT must not forget our address",
    },
    "sansio_sip_media.ice.timing": {
        "PACE": "the next check of a pair may start (Ta)",
        "NOMINATE": "no better pair is waited for",
        "PATIENCE": "a peer without candidates has had its time to name some",
        "LIMIT": "no pair has worked in time",
        "KEEPALIVE": "the NAT must not forget this pair",
    },
    "sansio_sip_media.plain_transport": {"SILENCE": "no packet has arrived for long"},
}


def why(timer: Enum) -> str:
    """What the timer is for, in a sentence."""
    words = WORDS.get(type(timer).__module__, {}).get(timer.name)
    return words if words is not None else str(timer.value)


@contextmanager
def watched_timers(fired: Callable[[TimerSet[Any], Enum, float], object]) -> Iterator[None]:
    """For the length of the block `fired(set, timer, deadline)` is told of each timer that fires."""
    plain = TimerSet.due

    def due(timers: TimerSet[Any], now: float) -> Iterator[Enum]:
        rest = plain(timers, now)
        while True:
            deadline = timers.next()
            timer = next(rest, None)
            if timer is None:
                return
            fired(timers, timer, now if deadline is None else deadline)
            yield timer

    setattr(TimerSet, METHOD, due)
    try:
        yield
    finally:
        setattr(TimerSet, METHOD, plain)


def owner_of(timers: TimerSet[Any], root: object) -> str:
    """Who has this set, by the shortest way from the root: `account1, invite client transaction (INVITE)`."""
    seen = {id(root)}
    queue: deque[tuple[object, object, tuple[str, ...]]] = deque([(root, root, ())])
    while queue and len(seen) < MAX_WALK:
        each, owner, keys = queue.popleft()
        if each is timers:
            return ", ".join((*keys, _described(owner)))
        holder = owner if isinstance(each, dict | list | tuple | set | frozenset | deque) else each
        for key, part in _parts(each):
            if id(part) not in seen and _is_walked(part):
                seen.add(id(part))
                queue.append((part, holder, (*keys, key) if key else keys))
    return _described(root)


def _is_walked(part: object) -> bool:
    if isinstance(part, dict | list | tuple | set | frozenset | deque):
        return bool(part)
    return type(part).__module__.startswith("sansio_sip") and not isinstance(part, Enum)


def _parts(each: object) -> Iterator[tuple[str, object]]:
    """What an object holds; with its key where that is a name for people."""
    if isinstance(each, dict):
        for key, value in each.items():
            yield (key if isinstance(key, str) and len(key) <= 40 else ""), value
    elif isinstance(each, list | tuple | set | frozenset | deque):
        for value in each:
            yield "", value
    else:
        for value in getattr(each, "__dict__", {}).values():
            yield "", value
        for base in type(each).__mro__:
            for slot in getattr(base, "__slots__", ()):
                if hasattr(each, slot):
                    yield "", getattr(each, slot)


def _described(owner: object) -> str:
    """`InviteClientTransaction` as words, with the method where it is about a request."""
    name = type(owner).__name__
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    method = getattr(getattr(owner, "request", None), "method", None)
    return f"{words} ({method})" if isinstance(method, str) else words
