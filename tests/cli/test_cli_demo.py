"""The demo as its user sees it, and the trace that it leaves."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.phones import python
from interop.peers import Lines, sansio_sip

from sansio_sip_cli.audio import load

pytestmark = pytest.mark.realtime

FILES = ["alice-heard.wav", "alice-said.wav", "bob-heard.wav", "bob-said.wav", "trace.jsonl"]

# Replays argv[1] as the command does; says what was loaded and which sockets were opened, on standard error.
REPLAY = """
import json, sys
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") else None)
from sansio_sip_cli.main import main
try:
    main(["replay", sys.argv[1], "--json"])
finally:
    names = ("OpenSSL", "cryptography", "pylibsrtp", "av", "trio", "rich")
    print(json.dumps({"opened": opened, "loaded": [name for name in names if name in sys.modules]}), file=sys.stderr)
"""


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lines, Path]]:
    """A demo that has come to its end, and its folder."""
    folder = tmp_path_factory.mktemp(f"demo-{request.param}")
    with sansio_sip("demo", "--dir", str(folder), "--runtime", request.param) as run:
        run.wait(60)
        yield run, folder


def test_the_demo_is_a_call_that_both_have_heard(demo: tuple[Lines, Path]) -> None:
    run, folder = demo
    assert run.wait() == 0, str(run)
    heard = {row["who"]: row for row in run.rows if row["event"] == "likeness"}
    for who, other in (("alice", "bob"), ("bob", "alice")):
        assert heard[who]["heard"] == other
        assert heard[who]["same"], heard[who]
        (call,) = run.event("summary", who=who)["calls"]
        assert (call["codec"], call["media"], call["state"]) == ("opus", "DTLS-SRTP", "ended")
        assert call["packets_received"] > 300
        assert load(folder / f"{who}-heard.wav").seconds > 8
    assert run.event("summary", who="bob")["calls"][0]["dtmf_received"] == "1234#"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert run.rows[-1]["event"] == "summary"
    assert run.rows[-1]["exit"] == 0
    assert run.rows[-1]["t"] < 20


@pytest.mark.parametrize("seed", ["1", "2"])
def test_its_trace_replays_without_sockets_and_libraries(demo: tuple[Lines, Path], seed: str) -> None:
    result = python(REPLAY, str(demo[1] / "trace.jsonl"), env={"PYTHONHASHSEED": seed})
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["different"] == 0
    assert report["identical"] > 500
    assert report["opaque"] > 500
    assert json.loads(result.stderr.splitlines()[-1]) == {"opened": [], "loaded": []}


def test_one_changed_byte_in_an_input_is_a_difference(demo: tuple[Lines, Path], tmp_path: Path) -> None:
    text = (demo[1] / "trace.jsonl").read_text()
    start = text.index('"i":"receive_stream"')
    at = text.index('"data"', start) + 20
    changed = tmp_path / "trace.jsonl"
    changed.write_text(text[:at] + ("B" if text[at] != "B" else "C") + text[at + 1 :])
    with sansio_sip("replay", str(changed)) as replayed:
        assert replayed.wait() == 1, str(replayed)
    assert replayed.rows[0]["different"] > 0
    assert replayed.rows[0]["differences"]


@pytest.mark.parametrize(("mute", "deaf"), [("bob", "alice"), ("alice", "bob")])
def test_a_mute_demo_is_found_out(tmp_path: Path, mute: str, deaf: str) -> None:
    with sansio_sip("demo", "--dir", str(tmp_path), "--mute", mute) as run:
        assert run.wait(60) == 1, str(run)
    same = {row["who"]: row["same"] for row in run.rows if row["event"] == "likeness"}
    assert not same[deaf]
    assert "not what was said" in run.errors[-1]
