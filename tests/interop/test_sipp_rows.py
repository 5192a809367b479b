"""The rows of the scenario table that want a SIPp: each over UDP and over TCP, against a whole phone on real sockets.

Some rows take the 32 s of a transaction that nobody answers, so all that were asked for run side by side, a few at a
time, when the first of them is wanted; each test then judges its own. One that is run again plays its row alone.
"""

import asyncio
from pathlib import Path

import pytest
from interop.peers import require
from interop.sipp_called import CALLED
from interop.sipp_calling import CALLING
from interop.sipp_stage import play

pytestmark = pytest.mark.interop

ROWS = {**CALLED, **CALLING}
AT_ONCE = 12


async def play_row(name: str, folder: Path) -> str:
    row, _, transport = name.rpartition("-")
    return await play(ROWS[row], transport, folder / name)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong with each row that was asked for; empty where nothing did."""
    require("sipp")
    wanted = [item.callspec.id for item in request.session.items if item.module is request.module]  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("sipp")

    async def run_all() -> dict[str, str]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> str:
            async with gate:
                return await play_row(name, folder)

        return dict(zip(wanted, await asyncio.gather(*(one(name) for name in wanted)), strict=True))

    return asyncio.run(run_all())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [f"{row}-{transport}" for row in ROWS for transport in ("udp", "tcp")])
def test_sipp_row(name: str, outcomes: dict[str, str], tmp_path: Path) -> None:
    outcome = outcomes.pop(name, None)
    wrong = asyncio.run(play_row(name, tmp_path)) if outcome is None else outcome
    assert not wrong, wrong
