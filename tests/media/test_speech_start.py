"""Speech that begins with the call, while the jitter buffer finds its delay: every word of it is heard whole."""

import random
from pathlib import Path

import numpy as np
import pytest

from sansio_sip.context import Context, DirectOracle, Entropy
from sansio_sip.sdp.negotiation import Codec, Negotiated
from sansio_sip_media.audio_stream import AudioStream
from sansio_sip_media.jitter_buffer import FOLD_PATIENCE
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.wav import read_wav

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"
RATE = 16_000
WINDOW = RATE // 5
CODECS = {"opus": Codec("opus", 111, 48_000, 2, "useinbandfec=1"), "pcmu": Codec("pcmu", 0, 8_000)}


def stream(seed: int, codec: str) -> AudioStream:
    made = AudioStream(Context(Entropy(random.Random(seed))))
    found = CODECS[codec]
    made.configure(Negotiated("rtp", (found,), {found.payload_type: found}, None, "sendrecv", None, None, True))
    return made


def speech(name: str) -> np.ndarray:
    """From its first word on."""
    samples, rate = read_wav((SPEECH / f"{name}.wav").read_bytes())
    assert rate == RATE
    return samples[int(np.argmax(np.abs(samples) > 1000)) :]


def carried(said: np.ndarray, codec: str, held_up: int, seconds: float = 8.0) -> tuple[np.ndarray, AudioStream]:
    """What is heard where the first packets come all at once: a machine that was busy with setting the call up."""
    one, other = stream(1, codec), stream(2, codec)
    one.write(said[: int(seconds * RATE)], RATE)
    waiting: list[RtpPacket] = []
    for tick in range(int(seconds * 50)):
        now = tick * 0.02
        one.hear(now=now)
        waiting += one.say()
        if tick >= held_up:
            for packet in waiting:
                other.receive(RtpPacket.parse(bytes(packet)), now=now)
            waiting.clear()
        other.hear(now=now)
    return other.read(RATE), other


def lost_words(said: np.ndarray, heard: np.ndarray) -> list[float]:
    """Where windows of 200 ms of speech begin, in seconds, that are not heard as they were said."""
    loudest = np.abs(said).max()
    found = []
    for start in range(0, len(said) - WINDOW, WINDOW):
        window = said[start : start + WINDOW].astype(np.float64)
        if np.abs(window).max() < loudest / 5:
            continue
        place = heard[max(0, start - RATE // 2) : start + WINDOW + RATE // 2].astype(np.float64)
        products = np.correlate(place, window, "valid")
        energy = np.convolve(np.square(place), np.ones(WINDOW), "valid")
        likeness = float((products / np.sqrt(np.maximum(energy * np.dot(window, window), 1.0))).max())
        if likeness < 0.85:
            found.append(start / RATE)
    return found


@pytest.mark.parametrize("held_up", [0, 3, 8])
@pytest.mark.parametrize("codec", ["pcmu", "opus"])
@pytest.mark.parametrize("name", ["alice", "bob"])
def test_every_word_of_the_start_is_heard(name: str, codec: str, held_up: int) -> None:
    said = speech(name)
    heard, other = carried(said, codec, held_up)
    assert lost_words(said[: 3 * RATE], heard) == []
    jitter = other.incoming._jitter
    assert jitter is not None
    assert jitter.delay_ms is not None
    assert jitter.delay_ms < 50, "the delay was shortened all the same"
    if held_up:
        assert jitter.skipped > 0


def test_where_nobody_pauses_the_delay_is_shortened_after_two_seconds() -> None:
    at = np.arange(8 * RATE) / RATE
    hum = (8000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16)
    _, other = carried(hum, "pcmu", 8, seconds=1.0 + FOLD_PATIENCE)
    assert other.incoming._jitter is not None
    assert other.incoming._jitter.skipped == 0
    _, other = carried(hum, "pcmu", 8, seconds=3.0 + FOLD_PATIENCE)
    assert other.incoming._jitter is not None
    assert other.incoming._jitter.skipped >= 3


def test_the_trace_holds_whether_there_was_a_pause() -> None:
    asked: list[str] = []

    class Listening(DirectOracle):
        def consult(self, name, compute, *inputs, **more):  # type: ignore[no-untyped-def, override]
            asked.append(name)
            return super().consult(name, compute, *inputs, **more)

    other = stream(2, "pcmu")
    other.incoming._context.oracle = Listening()
    for tick in range(100):
        if tick >= 8:
            for index in range(9) if tick == 8 else (tick,):
                other.receive(RtpPacket(0, index, 160 * index, 1, bytes(160)), now=tick * 0.02)
        other.hear(now=tick * 0.02)
    assert "audio.quiet" in asked
