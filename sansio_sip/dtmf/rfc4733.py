"""Telephone keys as RTP events (RFC 4733): payloads, the sender's clockwork, the receiver's memory.

Theory of operation
-------------------
All packets of one key press carry the RTP timestamp of its start; `duration` grows from packet to packet, and the last
packet, with the E bit, is sent three times (section 2.5.1.4). So the timestamp names the press. The receiver reports a
press once: at its first E bit, or when a later press shows that it must be over, or when nothing has come for it for
`END_TIMEOUT`. What is reported is always a part of what was sent, in the order sent: a packet that belongs to the last
press reported, or to one before it, says nothing new.

A press longer than 16 bits of duration is sent in segments, each with its own timestamp (section 2.5.1.3).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox

__all__ = [
    "DIGITS",
    "END_TIMEOUT",
    "DigitReceived",
    "DtmfReceiver",
    "DtmfSender",
    "EventPacket",
    "TelephoneEvent",
    "check_digits",
]

DIGITS = "0123456789*#ABCD"
"""Section 3.2: the key of each event code, 0 to 15."""

END_TIMEOUT = 0.3
"""Seconds. Six packets of 50 ms, the longest interval that section 2.5.1.2 speaks of; a loss burst of some 300 ms."""

_FORGET = 5.0
"""Seconds without any event after which timestamps start anew: a peer that restarts its stream must be heard again."""

_LONGEST = 0xFFFF  # of a segment, in units of the clock
_SEGMENT_SHORTEST = 0xE000
"""A new timestamp at this distance or more, of an unfinished press of the same key, is its next segment. Senders fill a
segment up to the last whole packet; 100 ms at 48 kHz is 0x12C0."""

_END_COPIES = 3
_PAUSE_SECONDS = 2.0  # of `,`, as modems and the SIP phones have it
_DEFAULT_VOLUME = 10  # -10 dBm0: within what ITU-T Q.24 receivers take


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The payload (section 2.3). `volume` is the power in -dBm0, 0 to 63; `duration` is in units of the RTP clock."""

    event: int
    end: bool
    volume: int
    duration: int

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Raises ParseError. Octets after the first four are passed over."""
        if len(payload) < 4:
            raise ParseError(f"telephone-event of {len(payload)} octets, not 4", offset=len(payload))
        return cls(payload[0], bool(payload[1] & 0x80), payload[1] & 0x3F, int.from_bytes(payload[2:4], "big"))

    def __bytes__(self) -> bytes:
        return bytes((self.event, self.end << 7 | self.volume)) + self.duration.to_bytes(2, "big")

    @property
    def digit(self) -> str | None:
        """The key, or None for an event that is none (flash, fax tones)."""
        return DIGITS[self.event] if self.event < len(DIGITS) else None


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One packet to send: `timestamp` goes into the RTP header in place of the current one."""

    event: TelephoneEvent
    timestamp: int
    marker: bool


def check_digits(digits: str) -> str:
    """The digits in upper case. Raises LocalProtocolError if one is neither a key nor the pause `,`."""
    upper = digits.upper()
    for character in upper:
        if character not in DIGITS and character != ",":
            raise LocalProtocolError(f"cannot send {character!r} as a key; the keys are {DIGITS} and , for a pause")
    return upper


@dataclass(slots=True)
class _Press:
    """A key on its way out. All counts are in packets. `key` None: a pause."""

    key: str | None
    length: int
    gap: int
    volume: int


class DtmfSender:
    """Says, at each packet time, whether an event goes out in place of audio.

    `clock_rate` is that of the negotiated telephone-event; `packet_ms` the time from one call of `next_packet` to the
    next.
    """

    def __init__(self, clock_rate: int = 8000, *, packet_ms: int = 20) -> None:
        self._packet_ms = packet_ms
        self._step = clock_rate * packet_ms // 1000
        self._queue: deque[_Press] = deque()
        self._press: _Press | None = None
        self._sent = 0  # packet times since the press began
        self._timestamp = 0
        self._segment_start = 0  # the packet time at which the current segment began

    @property
    def is_idle(self) -> bool:
        """Whether every digit has left, with the gap behind it."""
        return self._press is None and not self._queue

    def queue(self, digits: str, *, duration_ms: int = 100, gap_ms: int = 70, volume: int = _DEFAULT_VOLUME) -> None:
        """Adds digits to be sent: each for `duration_ms`, then silence for `gap_ms`; `,` is a pause of 2 s.

        A gap is never shorter than what the end copies of a digit need. Raises LocalProtocolError for other characters.
        """
        digits = check_digits(digits)
        if duration_ms <= 0 or gap_ms < 0 or not 0 <= volume <= 63:
            raise LocalProtocolError("a digit needs a duration above 0 ms, a gap of 0 or more, a volume of 0 to 63")
        for character in digits:
            if character == ",":
                self._queue.append(_Press(None, self._packets(_PAUSE_SECONDS * 1000), 0, 0))
            else:
                gap = max(self._packets(gap_ms), _END_COPIES)
                self._queue.append(_Press(character, self._packets(duration_ms), gap, volume))

    def clear(self) -> None:
        """Drops what has not begun; a press under way is sent to its end."""
        self._queue.clear()

    def next_packet(self, rtp_timestamp: int) -> EventPacket | None:
        """The event to send now, or None. `rtp_timestamp` is what audio would carry in this packet."""
        if self._press is None:
            if not self._queue:
                return None
            self._press = self._queue.popleft()
            self._sent = self._segment_start = 0
            self._timestamp = rtp_timestamp
        press = self._press
        position = self._sent
        self._sent += 1
        if self._sent >= press.length + press.gap:
            self._press = None
        if press.key is None or position >= press.length - 1 + _END_COPIES:
            return None
        if position < press.length and (position + 1 - self._segment_start) * self._step > _LONGEST:
            # Section 2.5.1.3: the next segment begins where this one ended, without the marker bit.
            self._segment_start = position
            self._timestamp = rtp_timestamp
        ended = position >= press.length - 1
        packets = min(position + 1, press.length) - self._segment_start
        event = TelephoneEvent(DIGITS.index(press.key), ended, press.volume, packets * self._step)
        # Section 2.5.1.1: the marker bit is set on the first packet of the event.
        return EventPacket(event, self._timestamp, marker=position == 0)

    def _packets(self, milliseconds: float) -> int:
        return max(1, -int(-milliseconds // self._packet_ms))


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """A key was pressed and has been let go. `duration_ms` is as long as the packets that came said."""

    digit: str
    duration_ms: int


@dataclass(slots=True)
class _Open:
    """The newest press, not reported yet. `before` is the duration of its earlier segments."""

    timestamp: int
    event: int
    duration: int
    deadline: float
    before: int = 0


class DtmfReceiver:
    """Puts the presses together again. Outputs `DigitReceived`. One for each SSRC: another one has other timestamps."""

    def __init__(self, clock_rate: int = 8000) -> None:
        self._clock_rate = clock_rate
        self._outbox: Outbox[DigitReceived] = Outbox()
        self._open: _Open | None = None
        self._reported: tuple[int, int, bool] | None = None  # timestamp, event, whether its end was seen
        self._heard_at = 0.0

    def receive(self, payload: bytes, rtp_timestamp: int, *, now: float) -> None:
        """Takes a telephone-event packet, in any order. What cannot be read, or is no key, is passed over."""
        self.handle_timeout(now=now)
        try:
            event = TelephoneEvent.parse(payload)
        except ParseError:
            return
        if event.digit is None:
            return
        rtp_timestamp &= 0xFFFFFFFF
        if self._open is None and now - self._heard_at >= _FORGET:
            self._reported = None
        if self._reported is not None and not self._is_news(rtp_timestamp, event.event):
            return
        self._heard_at = now
        current = self._open
        if current is None:
            current = self._begin(rtp_timestamp, event, now)
        elif rtp_timestamp == current.timestamp:
            if event.event != current.event:
                return
            current.duration = max(current.duration, event.duration)
            current.deadline = now + END_TIMEOUT
        elif not _later(rtp_timestamp, current.timestamp):
            self._receive_overtaken(rtp_timestamp, event, current)
            return
        elif event.event == current.event and _is_next_segment(rtp_timestamp, current.timestamp):
            current.before += (rtp_timestamp - current.timestamp) & 0xFFFFFFFF
            current.timestamp, current.duration = rtp_timestamp, event.duration
            current.deadline = now + END_TIMEOUT
        else:
            self._report(current, ended=True)
            current = self._begin(rtp_timestamp, event, now)
        if event.end:
            self._report(current, ended=True)

    def handle_timeout(self, *, now: float) -> None:
        if self._open is not None and self._open.deadline <= now:
            self._report(self._open, ended=False)

    def next_timeout(self) -> float | None:
        return self._open.deadline if self._open is not None else None

    def poll_output(self) -> DigitReceived | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[DigitReceived]:
        return self._outbox.drain()

    def _begin(self, timestamp: int, event: TelephoneEvent, now: float) -> _Open:
        self._open = _Open(timestamp, event.event, event.duration, now + END_TIMEOUT)
        return self._open

    def _report(self, press: _Open, *, ended: bool) -> None:
        self._open = None
        self._reported = press.timestamp, press.event, ended
        self._emit(press.event, press.before + press.duration)

    def _emit(self, event: int, duration: int) -> None:
        self._outbox.put(DigitReceived(DIGITS[event], duration * 1000 // self._clock_rate))

    def _is_news(self, timestamp: int, event: int) -> bool:
        """Whether a packet belongs to a press after the last one reported."""
        assert self._reported is not None
        last, last_event, ended = self._reported
        if not _later(timestamp, last):
            return False
        if not ended and event == last_event and self._open is None and _is_next_segment(timestamp, last):
            # The press that was given up goes on in its next segment; it has been reported.
            self._reported = timestamp, event, False
            return False
        return True

    def _receive_overtaken(self, timestamp: int, event: TelephoneEvent, current: _Open) -> None:
        """A packet of a press before the newest, of which nothing had come: it is over, since the newest has begun."""
        if event.event == current.event and (current.before or _is_next_segment(current.timestamp, timestamp)):
            return
        self._reported = timestamp, event.event, True
        self._emit(event.event, event.duration)


def _later(one: int, other: int) -> bool:
    """Whether a 32-bit RTP timestamp comes after another (RFC 3550 section 5.1: they wrap around)."""
    return 0 < (one - other) & 0xFFFFFFFF < 0x80000000


def _is_next_segment(one: int, other: int) -> bool:
    return _SEGMENT_SHORTEST <= (one - other) & 0xFFFFFFFF <= _LONGEST
