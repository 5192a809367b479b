"""Workers that are lost, and those that stand in for them, in virtual time: what Ray does when each start fails."""

import asyncio
from collections.abc import Callable

import pytest
from drivers.runtimes import Asyncio

from sansio_sip_cli.fleet.command import Clock, Phone
from sansio_sip_cli.workers.crew import MOST_STAND_INS, Crew
from sansio_sip_cli.workers.job import Row, WorkerLost

DONE = {"event": "done", "calls": 1, "answered": 1, "ended": 1, "failed": 0, "digits": 0}


class Fragile:
    """A worker that is lost as soon as it runs, and always comes back; `dies` times it ends before it has begun."""

    def __init__(self, dies: int, ready_after: float = 0.0) -> None:
        self.about: Row = {"node": "here", "pid": 1}
        self.begun = 0
        self._dies = dies
        self._ready_after = ready_after
        self._stopped = asyncio.Event()

    async def begin(self) -> Row:
        await asyncio.sleep(self._ready_after)
        self.begun += 1
        if 1 < self.begun <= 1 + self._dies:
            raise WorkerLost("it died in begin")
        return {"event": "ready"}

    async def run(self, start: float, first: int, on_progress: Callable[[Row], object]) -> Row:
        if self._dies and self.begun == 1:
            raise WorkerLost("it died")
        await self._stopped.wait()
        return DONE

    async def revive(self) -> bool:
        return True

    def stop(self) -> None:
        self._stopped.set()

    def kill(self) -> None: ...

    async def end(self) -> None: ...


def states(worker: Callable[[], Fragile]) -> tuple[list[str], Phone, int, float]:
    """What a crew of one is told, until it has come back (then it ends) or is away for good."""
    told: list[str] = []

    async def main() -> tuple[list[str], Phone, int, float]:
        one = worker()
        phone = Phone(0, one)

        def on_worker(state: str, _: Phone) -> None:
            told.append(state)
            if state == "back":
                crew.interrupt()

        crew = Crew([phone], lambda _: None, on_worker)
        await crew.run()
        return told, phone, one.begun, asyncio.get_running_loop().time()

    return Asyncio.run(main, virtual=True)


@pytest.mark.parametrize("dies", [1, MOST_STAND_INS - 1])
def test_a_stand_in_that_dies_as_it_begins_is_followed_by_another(dies: int) -> None:
    told, phone, begun, seconds = states(lambda: Fragile(dies))
    assert told == ["ready", "lost", "back"]
    assert (phone.lost, phone.away, begun) == (1, False, dies + 2)
    assert seconds >= dies  # it pauses between them


def test_a_phone_that_dies_in_every_begin_is_given_up() -> None:
    told, phone, begun, _ = states(lambda: Fragile(10_000))
    assert told == ["ready", "lost"]
    assert (phone.lost, phone.away, begun) == (1, True, 1 + MOST_STAND_INS)


def test_the_time_of_a_fleet_begins_when_all_are_ready() -> None:
    async def main() -> tuple[bool, float]:
        phones = [Phone(number, Fragile(0, ready_after=30.0 * number)) for number in range(2)]
        ready: list[Phone] = []

        def on_worker(state: str, phone: Phone) -> None:
            ready.append(phone)
            if len(ready) == len(phones):
                clock.begin()

        crew = Crew(phones, lambda _: None, on_worker)
        clock = Clock(crew, 5.0)
        await crew.run()
        return clock.is_over, asyncio.get_running_loop().time()

    is_over, seconds = Asyncio.run(main, virtual=True)
    assert is_over
    assert seconds == pytest.approx(35.0, abs=0.1)
