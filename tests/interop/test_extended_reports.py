"""What tshark reads in the extended reports (RTCP XR) that two phones of ours send each other."""

import subprocess
from pathlib import Path

import pytest
from interop.peers import SPEECH, capture, namespace, sansio_sip

pytestmark = pytest.mark.interop

FIELDS = (
    "rtcp.xr.bt",
    "rtcp.xr.bl",
    "rtcp.xr.voipmetrics.gmin",
    "rtcp.xr.voipmetrics.rfactor",
    "rtcp.xr.voipmetrics.moslq",
    "rtcp.xr.voipmetrics.plc",
    "rtcp.xr.voipmetrics.jba",
    "rtcp.xr.voipmetrics.jbnominal",
    "rtcp.xr.voipmetrics.jbabsmax",
    "rtcp.xr.voipmetrics.rerl",
    "rtcp.xr.voipmetrics.burstdensity",
)


def test_tshark_reads_our_voip_metrics(tmp_path: Path) -> None:
    path = tmp_path / "call.pcapng"
    options = ("--no-register", "--media", "rtp", "--codec", "pcmu")
    with namespace() as inside, capture(path, inside=inside):
        listening = ("--listen", "127.0.0.1:5070", "--play", str(SPEECH / "bob.wav"))
        with sansio_sip("answer", "sip:bob@127.0.0.1", *listening, *options, inside=inside) as bob:
            bob.event("onConnectionChange", state="connected")
            target = ("sip:alice@127.0.0.1", "sip:bob@127.0.0.1:5070", "--listen", "127.0.0.1:0", "--duration", "6")
            with sansio_sip("call", *target, "--play", str(SPEECH / "alice.wav"), *options, inside=inside) as alice:
                assert alice.wait() == 0, str(alice)
            assert bob.wait() == 0, str(bob)
    asked = [part for field in FIELDS for part in ("-e", field)]
    reading = ["tshark", "-r", str(path), "-o", "rtp.heuristic_rtp:TRUE", "-Y", "rtcp.pt == 207"]
    found = subprocess.run([*reading, "-T", "fields", *asked], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert len(rows) >= 2, found.stdout
    for row in rows:
        kind, length, gmin, rating, listening_score, concealment, jitter_buffer, nominal, most, echo, density = row
        assert (int(kind), int(length), int(gmin)) == (7, 8, 16)
        assert 80 <= int(rating) <= 93
        assert 4.0 <= float(listening_score) <= 4.5
        # Enhanced concealment, an adaptive jitter buffer, and no measure of echo.
        assert (int(concealment), int(jitter_buffer), int(echo)) == (2, 3, 127)
        assert 20 <= int(nominal) <= int(most) == 600
        assert int(density) == 0
    bad = subprocess.run([*reading[:3], "-Y", "_ws.malformed"], capture_output=True, text=True, check=True)
    assert not bad.stdout
