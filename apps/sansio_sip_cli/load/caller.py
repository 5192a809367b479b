"""What a scenario is written with: a caller, who places calls, and the calls.

A scenario is an async function of one `Caller`:

    async def ask_for_the_time(caller):
        call = await caller.call()
        await call.round_trip("1")
        await call.stay(caller.hold)

What is measured, and what fails, goes into the tally of the run by itself; calls that are left over are hung up.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import CallInfo, CallUuid
from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip.softphone.quality import mos
from sansio_sip_cli.audio import Clip

if TYPE_CHECKING:
    from .job import LoadJob

__all__ = ["Call", "CallRefused", "Caller", "ScenarioFailed"]

# Seconds of audio given to the engine at a time.
AHEAD = 1.0

# A call that had audio for so many seconds, and got no packet in all of them, was heard one way.
ONE_WAY_AFTER = 1.0

# Seconds that a BYE may take: 64 T1, after which SIP itself gives up.
PARTING = 33.0


class CallRefused(Exception):
    """A call was not answered, or could not be placed; it is counted already."""


class ScenarioFailed(Exception):
    """A scenario is not content, for the reason given; the call counts as failed by it."""


class Call:
    """One call. All times in seconds.

    Attributes:
        digits: keys pressed at the far end.
        statistics: the last snapshot of its media, once it has ended.
    """

    def __init__(self, job: "LoadJob", began: float) -> None:
        self.digits = ""
        self.statistics: MediaStatistics | None = None
        self.uuid = CallUuid("")
        self._job = job
        self._began = began
        self._rung = False
        self._answered_at: float | None = None
        self._media_at: float | None = None
        self._changed = asyncio.Event()
        self._refused = ""
        self._ended = False

    @property
    def is_up(self) -> bool:
        return self._answered_at is not None and not self._ended

    @property
    def is_open(self) -> bool:
        """Its end is not in the tally."""
        return not self._ended and not self._refused

    async def stay(self, seconds: float) -> None:
        """Waits, or until the far end hangs up."""
        await self._until(lambda: self._ended, seconds)

    async def has_media(self, timeout: float = 10.0) -> None:
        """Waits until audio can flow. Raises ScenarioFailed."""
        if not await self._until(lambda: self._media_at is not None or self._ended, timeout) or self._media_at is None:
            raise ScenarioFailed("no media")

    async def say(self, clip: Clip) -> None:
        """Speaks until all of it has been said, or the call is over."""
        position = 0
        job = self._job
        while self.is_up and position < len(clip.samples):
            if job.phone.audio_queued(self.uuid) < AHEAD:
                chunk = clip.samples[position : position + clip.rate]
                position += job.command("write_audio", self.uuid, chunk, clip.rate)
            await self.stay(AHEAD / 2)

    async def press(self, digits: str) -> None:
        """Presses keys; they leave one after the other."""
        self._job.command("send_dtmf", self.uuid, digits)

    async def round_trip(self, digit: str, timeout: float = 5.0) -> float:
        """Presses a key and waits until the far end presses the same: seconds. Raises ScenarioFailed."""
        before = len(self.digits)
        since = self._job.now()
        await self.press(digit)
        if not await self._until(lambda: digit in self.digits[before:], timeout):
            raise ScenarioFailed("no key came back")
        took = self._job.now() - since
        self._job.tally.record("dtmf", took * 1000)
        return took

    async def hang_up(self) -> None:
        """Hangs up and waits for the end of it; harmless after the end."""
        if not self._ended:
            try:
                self._job.command("hangup", self.uuid)
            except LocalProtocolError:
                return  # it ended in the same breath
            await self._until(lambda: self._ended, PARTING)

    def sent(self, now: float) -> None:
        """Its INVITE has left: times of the far end begin."""
        self._began = now

    async def answered(self, timeout: float) -> None:
        """Waits for the answer. Raises CallRefused."""
        if not await self._until(lambda: self._answered_at is not None or bool(self._refused), timeout):
            self._refuse(f"no answer in {timeout:g} s")
            await self.hang_up()
        if self._refused:
            raise CallRefused(self._refused)

    def take(self, event: Any, now: float) -> None:
        """An event of this call."""
        tally, second = self._job.tally, self._job.second(now)
        match event:
            case events.CallRemoteRinging() if not self._rung:
                self._rung = True
                tally.record("ring", (now - self._began) * 1000)
            case events.CallAnswered() if not self._refused:
                self._answered_at = now
                tally.record("setup", (now - self._began) * 1000)
                tally.count("answered", second)
            case events.MediaConnected() if self._media_at is None:
                self._media_at = now
                if self._job.has_media:
                    tally.record("media", (now - max(self._answered_at or now, self._began)) * 1000)
            case events.DtmfReceived():
                self.digits += event.tone
            case events.CallFailed():
                self._ended = True
                self._refuse(_cause(event.cause, event.call_info))
            case events.CallTerminated():
                self._ended = True
                self.statistics = event.statistics
                self._judge(now)
            case _:
                return
        self._changed.set()

    def _refuse(self, cause: str) -> None:
        if not self._refused and self._answered_at is None:
            self._refused = cause
            self._job.tally.fail(cause, self._job.second(self._job.now()))

    def _judge(self, now: float) -> None:
        """What the call sounded like."""
        tally, statistics = self._job.tally, self.statistics
        tally.count("completed")
        if statistics is None or self._media_at is None or not self._job.has_media:
            return
        tally.count("with media")
        tally.counts["packets sent"] += statistics.packets_sent
        tally.counts["packets received"] += statistics.packets_received
        tally.counts["packets lost"] += statistics.packets_lost
        if now - self._media_at >= ONE_WAY_AFTER and not statistics.packets_received and statistics.packets_sent:
            tally.count("one way")
        expected = statistics.packets_received + statistics.packets_lost
        if not expected:
            return
        loss = statistics.packets_lost / expected
        tally.record("loss", 100 * loss)
        tally.record("jitter", statistics.jitter_ms)
        if statistics.rtt_ms is not None:
            tally.record("rtt", statistics.rtt_ms)
        score = mos(statistics.rtt_ms, statistics.jitter_ms, loss, codec=statistics.codec)
        if score is not None:
            tally.record("mos", score)

    async def _until(self, condition: Any, timeout: float) -> bool:
        """Waits until the condition holds; whether it did in time."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return bool(condition())
        return True


class Caller:
    """Who runs a scenario, once.

    Attributes:
        target: whom the command was told to call. hold: seconds that a call is to last.
        clip: what to say.
        number: of this run of a scenario, from 0, over all workers.
    """

    def __init__(self, job: "LoadJob", number: int) -> None:
        self.target = job.plan.target
        self.hold = job.plan.hold
        self.clip = job.clip
        self.number = number
        self._job = job
        self._calls: list[Call] = []

    async def call(self, target: str | None = None, *, headers: Mapping[str, str] | None = None) -> Call:
        """Places a call and waits for its answer. Raises CallRefused, which a scenario may leave to the run."""
        call = self._job.place(target or self.target, headers or {})
        self._calls.append(call)
        await call.answered(self._job.plan.ring_timeout)
        return call

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def leave(self) -> None:
        """Hangs up what is left."""
        for call in self._calls:
            await call.hang_up()


def _cause(cause: str, info: CallInfo) -> str:
    return f"{cause} ({info.code})" if info.code > 0 else cause
