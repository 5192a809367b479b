"""Play-out of RTP packets by deadline: late enough that most have come, early enough to talk.

Theory of operation
-------------------
All arithmetic is in units of the RTP clock, without wrap. The *transit* of a packet is its arrival less its timestamp;
only differences between transits mean anything. The *base* is the least transit of the last ten seconds, so a packet
of transit `base` was not held up at all; *delay* is how long such a packet waits here before it is played.

    packets --put--> sorted, bounded --pop, each 20 ms--> play | make up | pause

The *target* for the delay is the 98th percentile of (transit - base) over those ten seconds and half a frame, within 20
to 400 ms; 60 ms until a second's worth was measured. The window moves, so clock drift between the ends moves the base.

Play-out runs on the reader's clock: one frame is due each frame time, whatever arrives. The *cursor* is the timestamp
that is due. At each due time:

    packet at the cursor     play it. Where the delay is a whole frame above the target, the next packet is handed out
                             with it, to be folded into the same time (at most one in five, only once the spread was
                             measured, and in a pause between words, or after two seconds without one): delay shrinks.
    missing, later ones here lost or late: make a frame up. The cursor moves on, unless the delay is a whole frame below
                             the target: then it stays, and the delay grows by a frame.
    nothing here             make frames up, ten at most; then it is a pause: the cursor is forgotten, and silence is
                             given until a packet's deadline comes (silence suppression, hold).
    comfort noise            a pause, from here until the next packet of audio is due (RFC 3389).
    events instead           a pause too: where packets of telephone-event have the numbers that follow the last audio
                             (RFC 4733), a key was pressed and nothing was lost. `note_event` tells of them.

What comes after its time is dropped as late, but for the next packet in order when nothing newer was played: then all
packets were held up together, the cursor goes back to it, and the delay grows by as much, to 400 ms at most.

A delay that is 200 ms too long (a reader that slept, packets that came in one burst) is cut at once. Transits that
leave the base by more than 400 ms, twice in agreement or after a pause, are a new timeline: a sender that stopped its
clock in a pause, jumped, or began anew. So is another SSRC. A new timeline begins without history.

The delay never exceeds the target by more than 200 ms and a frame, the number of packets is bounded, and neither can a
peer change by what it sends.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from .rtp.packet import RtpPacket
from .rtp.sequence import TIMESTAMP_MODULUS, Unwrapper, sequence_distance

__all__ = ["EXCESS_DELAY", "MAX_DELAY", "Frame", "JitterBuffer"]

# Seconds.
START_DELAY = 0.060
MIN_DELAY = 0.020
MAX_DELAY = 0.400  # ITU-T G.114: beyond 400 ms one way, a conversation is not acceptable
EXCESS_DELAY = 0.200  # cut at once: folding one frame in five would take a second for it
WINDOW = 10.0

QUANTILE = 0.98

# Packets: a second at 20 ms before the measure counts; then it is taken anew each half second.
MIN_MEASURED = 50
MEASURE_EVERY = 25

# Packets: the longest delay, and as much again that came early, at 10 ms each.
MAX_PACKETS = 100

# Transits kept: ten seconds at 10 ms each.
MAX_HISTORY = 1000

# Frames.
MAX_MADE_UP = 10  # what a decoder makes up has faded to nothing by then
FOLD_EVERY = 5  # three frames go in a quarter of a second: a word is quicker, and the next ones are whole
FOLD_PATIENCE = 2.0  # seconds to wait for a pause between words; people make one each second or so
MAX_BEHIND = 3  # a reader that is later than this has slept

# Packets in a row that came late: they are not stragglers, the path has become longer.
LATE_RUN = 10

# Sequence numbers of telephone events since the last packet of audio: the longest press has 8 s (RFC 4733 section
# 2.5.1.3), at 50 a second. Of an older one the beginning is no longer asked for.
EVENTS_KEPT = 512

# Timestamps of frames played, to tell a packet that comes twice from one that comes late.
PLAYED_KEPT = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """What is due.

    Attributes:
        payload: to decode; None: to be made up.
        units: of the RTP clock that it lasts.
        pause: nothing is missing, the far end sends nothing.
        following: where `payload` is None, the payload just after it if that has come: it may hold a copy of what was
            lost (Opus in-band FEC).
        folded: a second payload to decode after the first; both together are to last `units` (see `playout`).
        noise: a payload of comfort noise, that tells what the pause beginning here sounds like.
    """

    payload: bytes | None
    units: int
    pause: bool = False
    following: bytes | None = None
    folded: bytes | None = None
    noise: bytes | None = None


class _Held(NamedTuple):
    """A packet that waits: its timestamp without wrap, and how many units it lasts."""

    timestamp: int
    units: int
    packet: RtpPacket


_timestamp = attrgetter("timestamp")


class JitterBuffer:
    """Holds the packets of one source until they are due. One payload format, and comfort noise; no telephone events.

    Args:
        clock_rate: RTP clock, Hz.
        frame: what the reader takes at a time, in RTP clock units (20 ms: 960 for Opus, 160 for G.711).
        duration: RTP clock units of a payload (a decoder's `duration`); without it, each lasts one `frame`.
        noise_type: payload type of comfort noise; may be assigned to.

    Attributes:
        received: packets put in.
        played: packets handed out to be decoded.
        late: dropped because their time was over.
        duplicates: dropped because they were here already.
        overflow: dropped because there were too many.
        stray: dropped because their timestamp was far off, and no other agreed with it.
        concealed: frames made up in place of packets that were lost or late. Goes down again where the next packet
            shows that nothing was lost, only nothing sent.
        paused: frames of silence while the far end sent nothing.
        skipped: packets left out or folded to shorten the delay.
        stretched: frames by which the delay has grown.
        resynchronised: new timelines, and times that the reader slept.
    """

    def __init__(
        self,
        clock_rate: int,
        frame: int,
        *,
        duration: Callable[[bytes], int] | None = None,
        noise_type: int | None = None,
    ) -> None:
        self.noise_type = noise_type
        self._rate = clock_rate
        self._frame = frame
        self._duration = duration
        self._packets: list[_Held] = []  # by timestamp
        self._ssrc: int | None = None
        self._unwrapper = Unwrapper(TIMESTAMP_MODULUS)
        self._transits: deque[tuple[float, float]] = deque(maxlen=MAX_HISTORY)  # arrival in seconds, transit in units
        self._base: float | None = None
        self._measured = 0
        self._target = START_DELAY * clock_rate
        self._suspect: tuple[float, int, RtpPacket] | None = None
        self._cursor: int | None = None
        self._due: float | None = None  # seconds; None: nothing was played yet
        self._made_up = 0  # frames in a row
        self._counted = 0  # of these, how many count as concealed
        self._last_played: int | None = None
        self._last_sequence = 0
        self._last_end = 0
        self._played: deque[int] = deque(maxlen=PLAYED_KEPT)
        self._events: deque[int] = deque(maxlen=EVENTS_KEPT)  # sequence numbers after the last played
        self._since_fold = 0
        self._long_since: float | None = None  # when the delay became too long, or the last pause was made use of
        self._late_run = 0
        self.received = 0
        self.played = 0
        self.late = 0
        self.duplicates = 0
        self.overflow = 0
        self.stray = 0
        self.concealed = 0
        self.paused = 0
        self.skipped = 0
        self.stretched = 0
        self.resynchronised = 0

    # Facts

    @property
    def started(self) -> bool:
        """Whether a first frame was played; from then on there is a frame at each due time."""
        return self._due is not None

    @property
    def target_ms(self) -> float:
        return 1000 * self._target / self._rate

    @property
    def delay_ms(self) -> float | None:
        """How long a packet that was not held up on its way waits here; None before the first and in a pause."""
        if self._cursor is None or self._due is None:
            return None
        return 1000 * self._delay(self._cursor) / self._rate

    def __len__(self) -> int:
        """Packets held."""
        return len(self._packets)

    # Packets in

    def put(self, packet: RtpPacket, *, now: float) -> None:
        """Takes a packet. What has come too late, twice, or does not fit is dropped and counted."""
        self.received += 1
        if packet.ssrc != self._ssrc:
            if self._ssrc is not None:
                self._begin_timeline()
            self._ssrc = packet.ssrc
            self._unwrapper = Unwrapper(TIMESTAMP_MODULUS)
        timestamp = self._unwrapper.unwrap(packet.timestamp)
        transit = now * self._rate - timestamp
        if self._base is not None and abs(transit - self._base) > MAX_DELAY * self._rate:
            if self._cursor is not None and not self._agrees(transit, timestamp, packet):
                return
            suspect = self._suspect
            self._begin_timeline()
            if suspect is not None and self._is_of_one_timeline(suspect, transit, timestamp):
                self._note_transit(suspect[0], now)
                self._insert(_Held(suspect[1], self._units(suspect[2]), suspect[2]))
            elif suspect is not None:
                self.stray += 1
        self._suspect = None
        self._note_transit(transit, now)
        held = _Held(timestamp, self._units(packet), packet)
        if self._in_time(held, transit, now):
            self._late_run = 0
            self._insert(held)

    def note_event(self, sequence: int) -> None:
        """A packet of telephone-event has come: its number is no gap. It is not played."""
        if self._last_played is not None and sequence_distance(sequence, self._last_sequence) > 0:
            self._events.append(sequence)

    def _agrees(self, transit: float, timestamp: int, packet: RtpPacket) -> bool:
        """A transit far off the base: whether the one before was off by the same. If not, it waits for the next."""
        suspect = self._suspect
        if suspect is not None and abs(transit - suspect[0]) <= MAX_DELAY * self._rate:
            return True
        if suspect is not None:
            self.stray += 1
        self._suspect = (transit, timestamp, packet)
        return False

    def _is_of_one_timeline(self, suspect: tuple[float, int, RtpPacket], transit: float, timestamp: int) -> bool:
        """Whether one that was set aside came just before this one: after a pause nobody has asked that yet."""
        return suspect[1] < timestamp and abs(transit - suspect[0]) <= MAX_DELAY * self._rate

    def _in_time(self, held: _Held, transit: float, now: float) -> bool:
        timestamp = held.timestamp
        played = self._last_played
        if self._cursor is None:
            if played is None or timestamp > played:
                return True
        elif timestamp + held.units // 2 >= self._cursor:
            return True
        elif (played is None or timestamp > played) and self._may_go_back(timestamp):
            self.stretched += max(1, round((self._cursor - timestamp) / self._frame))
            self._cursor = timestamp
            return True
        if timestamp in self._played:
            self.duplicates += 1
            return False
        self._late_run += 1
        if self._late_run < LATE_RUN:
            self.late += 1
            return False
        self._begin_timeline()
        self._note_transit(transit, now)
        return True

    def _may_go_back(self, timestamp: int) -> bool:
        """All since was made up: whether the delay may grow so much that this packet is in time."""
        delay = self._delay(timestamp)
        limit = MAX_DELAY * self._rate if not self._packets else self._target + self._frame
        return delay <= limit

    def _insert(self, held: _Held) -> None:
        place = bisect_left(self._packets, held.timestamp, key=_timestamp)
        if place < len(self._packets) and self._packets[place].timestamp == held.timestamp:
            self.duplicates += 1
            return
        self._packets.insert(place, held)
        if len(self._packets) > MAX_PACKETS:
            del self._packets[0]
            self.overflow += 1
            if self._cursor is not None:
                self._cursor = max(self._cursor, self._packets[0].timestamp)

    def _begin_timeline(self) -> None:
        """Forgets packets and history; the target stays, for the network is the same."""
        if self._last_played is not None or self._packets:
            self.resynchronised += 1
        self._packets.clear()
        self._transits.clear()
        self._played.clear()
        self._events.clear()
        self._base = self._cursor = self._last_played = self._suspect = self._long_since = None
        self._measured = self._late_run = 0

    # The measure

    def _note_transit(self, transit: float, now: float) -> None:
        self._transits.append((now, transit))
        self._base = transit if self._base is None else min(self._base, transit)
        self._measured += 1
        if self._measured % MEASURE_EVERY:
            return
        transits = self._transits
        while transits[0][0] < now - WINDOW:
            transits.popleft()
        ordered = sorted([each for _, each in transits])
        self._base = ordered[0]
        # What no delay of ours could cover says nothing about the delay that we need.
        del ordered[bisect_right(ordered, self._base + MAX_DELAY * self._rate) :]
        if len(ordered) >= MIN_MEASURED:
            spread = ordered[int(QUANTILE * (len(ordered) - 1))] - ordered[0]
            wanted = spread + self._frame / 2
            self._target = min(max(wanted, MIN_DELAY * self._rate), MAX_DELAY * self._rate)

    def _delay(self, timestamp: int) -> float:
        """The delay, were `timestamp` played at the next due time."""
        assert self._base is not None
        assert self._due is not None
        return self._due * self._rate - timestamp - self._base

    def _units(self, packet: RtpPacket) -> int:
        if self._duration is None or packet.payload_type == self.noise_type:
            return self._frame
        return self._duration(packet.payload)

    # Frames out

    def pop(self, *, now: float, quiet: Callable[[], bool] | None = None) -> Frame | None:
        """The frame due at `now`, or None: nothing is due (yet). More than one may be, after a late tick.

        Args:
            quiet: tells whether what was heard last was no speech; it is asked where two frames might be folded.
        """
        period = self._frame / self._rate
        if self._due is None:
            self._due = now
            if not self._begin():
                self._due = None
                return None
        elif now < self._due - period / 2:
            return None
        elif now > self._due + MAX_BEHIND * period:
            self._due = now
            self.resynchronised += 1
        frame = self._next(quiet)
        self._due += frame.units / self._rate
        return frame

    def _begin(self) -> bool:
        """Sets the cursor to the oldest packet if its deadline has come."""
        if not self._packets or self._delay(self._packets[0].timestamp) < self._target:
            return False
        self._cursor = self._packets[0].timestamp
        return True

    def _next(self, quiet: Callable[[], bool] | None) -> Frame:
        if self._cursor is None and not self._begin():
            self.paused += 1
            return Frame(None, self._frame, pause=True)
        self._cut()
        assert self._cursor is not None
        # A sender may be off its own grid by less than half a frame; what is due then is due now.
        if self._packets and self._packets[0].timestamp < self._cursor + self._frame // 2:
            return self._play(quiet)
        return self._make_up(self._cursor)

    def _cut(self) -> None:
        """Leaves out packets where the delay is far too long."""
        assert self._cursor is not None
        excess = self._delay(self._cursor) - self._target
        if excess <= EXCESS_DELAY * self._rate or len(self._packets) < 2:
            return
        wanted = self._cursor + excess
        while len(self._packets) > 1 and self._packets[1].timestamp <= wanted:
            del self._packets[0]
            self.skipped += 1
        self._cursor = self._packets[0].timestamp

    def _play(self, quiet: Callable[[], bool] | None) -> Frame:
        timestamp, units, packet = self._take()
        if packet.payload_type == self.noise_type:
            # Section 4 of RFC 3389: "The RTP timestamp [...] is used to indicate the start of the silence period".
            self._cursor = None
            self.paused += 1
            return Frame(None, units, pause=True, noise=packet.payload)
        assert self._cursor is not None
        excess = self._delay(timestamp) - self._target
        self._cursor = timestamp + units
        self._since_fold += 1
        folded = None
        if excess <= self._frame or self._measured < MIN_MEASURED:
            self._long_since = None
        elif self._since_fold >= FOLD_EVERY and self._packets:
            following, lasts, second = self._packets[0]
            same = lasts == units and second.payload_type != self.noise_type
            if following == self._cursor and same and self._may_fold(quiet):
                self._take()
                self._cursor += units
                self._since_fold = 0
                self.skipped += 1
                folded = second.payload
        return Frame(packet.payload, units, folded=folded)

    def _may_fold(self, quiet: Callable[[], bool] | None) -> bool:
        assert self._due is not None
        if self._long_since is None:
            self._long_since = self._due
        if quiet is None:
            return True
        if quiet():
            self._long_since = self._due  # people who pause here do so again
            return True
        return self._due - self._long_since >= FOLD_PATIENCE

    def _take(self) -> _Held:
        held = self._packets.pop(0)
        timestamp, units, packet = held
        if self._made_up and self._last_played is not None:
            step = sequence_distance(packet.sequence, self._last_sequence)
            in_order = step == 1 + sum(sequence_distance(packet.sequence, event) > 0 for event in set(self._events))
            if in_order and timestamp - self._last_end >= self._frame // 2:
                # Time has passed but no packet is missing: the far end was silent, nothing was lost.
                self.concealed -= self._counted
                self.paused += self._counted
        self._made_up = self._counted = 0
        if self._events:
            later = [event for event in self._events if sequence_distance(event, packet.sequence) > 0]
            self._events = deque(later, maxlen=EVENTS_KEPT)
        self._last_played = timestamp
        self._last_sequence = packet.sequence
        self._last_end = timestamp + units
        self._played.append(timestamp)
        self.played += 1
        return held

    def _make_up(self, cursor: int) -> Frame:
        self._made_up += 1
        # One number for each frame of the gap: an event among them has taken the place of audio.
        key = any(0 < sequence_distance(event, self._last_sequence) <= self._made_up for event in self._events)
        if key or self._made_up > MAX_MADE_UP:
            self.paused += 1
            self._cursor = cursor + self._frame if self._packets else None
            return Frame(None, self._frame, pause=True)
        self.concealed += 1
        self._counted += 1
        if self._packets and self._delay(cursor) + self._frame <= self._target:
            self.stretched += 1
            return Frame(None, self._frame)
        self._cursor = cursor + self._frame
        following = None
        if self._packets and abs(self._packets[0].timestamp - self._cursor) < self._frame // 2:
            following = self._packets[0].packet.payload
        return Frame(None, self._frame, following=following)
