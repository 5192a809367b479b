"""Handshakes of real OpenSSL at both ends over networks that lose, delay and reorder; judged by their events."""

import os
from collections.abc import Callable

import pytest
from dtls.pair import DELAY, Pair, losing, lossy

from sansio_sip_media.crypto import CryptoProvider, SrtpProfile
from sansio_sip_media.dtls import HandshakeDone
from sansio_sip_media.openssl_crypto import OpenSslCrypto
from sansio_sip_media.seeded_crypto import SeededCrypto

DONE = [HandshakeDone(SrtpProfile.AEAD_AES_128_GCM)]

# Share lost each way; the median and the slowest in a hundred, in seconds of virtual time, that are still right: four
# flights without loss, and RFC 6347's timer of 1 s, then 2 s, with it.
RATES = [(0.0, 0.30, 0.31), (0.1, 0.31, 6.0), (0.3, 2.0, 16.0), (0.5, 9.0, 45.0)]
LOSS = pytest.mark.parametrize(("loss", "median", "slowest"), RATES, ids=[f"{rate[0]:.0%}" for rate in RATES])


# The same where ICE has measured the way.
MEASURED = pytest.mark.parametrize(
    ("loss", "median", "slowest"), [(0.0, 0.30, 0.31), (0.1, 0.31, 2.7), (0.3, 1.0, 10.0), (0.5, 4.0, 25.0)]
)


def _matrix(providers: list[CryptoProvider], loss: float, count: int, *, rtt: float | None = None) -> list[float]:
    """Set-up times in seconds of `count` handshakes, shortest first; asserts that each has come to its end."""
    times = []
    for seed in range(count):
        client, server = providers[seed % 2], providers[1 - seed % 2]
        pair = Pair(client, server, lossy(seed, loss))
        pair.start(rtt)
        pair.run()
        assert pair.events == {"client": DONE, "server": DONE}, f"seed {seed}"
        times.append(max(pair.times["client"] + pair.times["server"]))
    return sorted(times)


@LOSS
def test_every_handshake_of_openssl_completes(loss: float, median: float, slowest: float) -> None:
    times = _matrix([OpenSslCrypto(), OpenSslCrypto()], loss, 200)
    assert times[len(times) // 2] <= median
    assert times[len(times) * 99 // 100] <= slowest


@LOSS
def test_every_handshake_of_the_stand_in_completes(loss: float, median: float, slowest: float) -> None:
    times = _matrix([SeededCrypto(1), SeededCrypto(2)], loss, 200)
    assert times[len(times) // 2] <= median
    assert times[len(times) * 99 // 100] <= slowest


@MEASURED
@pytest.mark.parametrize("provider", [OpenSslCrypto, lambda: SeededCrypto(1)], ids=["openssl", "seeded"])
def test_a_measured_way_makes_it_faster(
    provider: Callable[[], CryptoProvider], loss: float, median: float, slowest: float
) -> None:
    times = _matrix([provider(), provider()], loss, 200, rtt=2 * DELAY)
    assert times[len(times) // 2] <= median
    assert times[len(times) * 99 // 100] <= slowest


def test_what_is_lost_comes_again_after_three_round_trips_and_no_sooner_than_a_second_where_none_was_measured() -> None:
    for rtt, expected in (
        (None, [0.0, 1.05]),
        (0.1, [0.0, 0.3, 1.05]),
        (0.001, [0.0, 0.2, 0.6, 1.05]),
        (2.0, [0.0, 1.05]),
    ):
        pair = Pair(SeededCrypto(1), SeededCrypto(2), losing(*(("client", index) for index in range(9))))
        pair.start(rtt)
        sent: list[float] = [0.0]
        while len(sent) < len(expected):
            due = pair.client.next_timeout()
            assert due is not None
            pair.client.handle_timeout(now=due)
            sent += [due for _ in pair.client.outputs()]
        assert sent == pytest.approx(expected), rtt


@pytest.mark.soak
@LOSS
def test_long_run(loss: float, median: float, slowest: float) -> None:
    """Thousands of them; a run of a million may find one that is unlucky for two minutes."""
    count = int(os.environ.get("SANSIO_SIP_SOAK", "3000"))
    done: list[float] = []
    providers = [OpenSslCrypto(), OpenSslCrypto()]
    for seed in range(1000, 1000 + count):
        pair = Pair(providers[0], providers[1], lossy(seed, loss))
        pair.start()
        pair.run()
        if pair.events == {"client": DONE, "server": DONE}:
            done.append(max(pair.times["client"] + pair.times["server"]))
    done.sort()
    print(
        f"\nloss {loss:.0%}: {len(done)} of {count}, median {done[len(done) // 2]:.2f} s,"
        f" p95 {done[len(done) * 95 // 100]:.2f} s, slowest {done[-1]:.2f} s"
    )
    assert len(done) == count
    assert done[len(done) // 2] <= median
    assert done[len(done) * 99 // 100] <= slowest
