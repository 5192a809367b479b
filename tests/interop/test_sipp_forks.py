"""A SIPp that answers as if a proxy had forked: two To tags with early media each, and one of them, or both, accept."""

import asyncio
from pathlib import Path

import pytest
from interop.peers import require
from interop.sipp_called import BYE_OF_OURS
from interop.sipp_scenario import DIALOG, Seen, pause, recv, reply, sdp
from interop.sipp_stage import SHORT, Row, Stage, play, received

from sansio_sip.softphone import events

pytestmark = pytest.mark.interop

FIRST = sdp()
SECOND = sdp().replace("[media_port]", "[media_port+2]")
RELIABLE = ("Require: 100rel", "RSeq: 5")


def sessions(stage: Stage) -> int:
    """Media sessions of the phone."""
    return len(stage.phone.machine._calls._media._sessions)  # type: ignore[attr-defined]


def port(stage: Stage) -> int:
    (info,) = stage.phone.machine.calls()
    statistics = stage.phone.machine.statistics(info.call_uuid)
    assert statistics is not None
    assert statistics.remote is not None
    return statistics.remote.port


async def hears_both_and_keeps_the_winner(stage: Stage, *, moves: bool) -> None:
    call = stage.call()
    await stage.until(lambda: sessions(stage) == 2)
    early = port(stage)
    await call.answered(SHORT)
    assert sessions(stage) == 1
    assert (port(stage) != early) is moves
    await stage.nap(0.3)
    call.hangup()
    await call.ended(SHORT)
    assert len(stage.heard(events.CallAnswered)) == 1


def acknowledged(tag: str) -> Row:
    """`tag` accepts; the latest early dialog, s2, is the one that was heard before."""

    async def run(stage: Stage) -> None:
        await hears_both_and_keeps_the_winner(stage, moves=tag == "s1")

    def look(seen: list[Seen]) -> None:
        assert [each.get("To").rpartition("tag=")[2] for each in received(seen, "ACK")] == [tag]
        assert [each.get("To").rpartition("tag=")[2] for each in received(seen, "BYE")] == [tag]

    steps = (
        recv("INVITE", DIALOG),
        reply(183, FIRST, tag="s1"),
        reply(183, SECOND, tag="s2"),
        pause(0.5),
        reply(200, FIRST if tag == "s1" else SECOND, tag=tag, again=True),
        recv("ACK"),
        *BYE_OF_OURS,
    )
    return Row(steps, run, look)


def with_prack() -> Row:
    async def run(stage: Stage) -> None:
        await hears_both_and_keeps_the_winner(stage, moves=False)

    def look(seen: list[Seen]) -> None:
        assert [each.get("To").rpartition("tag=")[2] for each in received(seen, "PRACK")] == ["s1", "s2"]

    steps = (
        recv("INVITE", DIALOG),
        reply(183, FIRST, *RELIABLE, tag="s1"),
        recv("PRACK"),
        reply(200, tag="s1"),
        reply(183, SECOND, *RELIABLE, tag="s2", of="first"),
        recv("PRACK"),
        reply(200, tag="s2"),
        pause(0.3),
        reply(200, "", tag="s2", of="first"),
        recv("ACK"),
        *BYE_OF_OURS,
    )
    return Row(steps, run, look)


ROWS = {"first": acknowledged("s1"), "second": acknowledged("s2"), "prack": with_prack()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", list(ROWS))
def test_sipp_that_forks(name: str, transport: str, tmp_path: Path) -> None:
    require("sipp")
    folder = tmp_path / "row"
    wrong = asyncio.run(play(ROWS[name], transport, folder))
    assert not wrong, wrong
