"""What a call costs in C alone: Opus, SRTP and sockets, each called from a loop that does nothing else."""

import socket
import time
from pathlib import Path

from pylibsrtp import Policy, Session

from sansio_sip_media.codecs.libopus import LibOpusDecoder, LibOpusEncoder
from sansio_sip_media.codecs.opus_settings import OpusSettings, rate_for
from sansio_sip_media.resample import Resampler
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.wav import read_wav

__all__ = ["milliseconds"]

SPEECH = Path(__file__).resolve().parents[1] / "apps" / "sansio_sip_cli" / "speech" / "alice.wav"
RATE, FRAME = 48_000, 960

# Frames that are sent a second in a call: 50 from each end.
FRAMES = 100


def milliseconds() -> float:
    """CPU of a call and second, both ends. What there is of Python is a loop and six calls a frame."""
    samples, rate = read_wav(SPEECH.read_bytes())
    speech = Resampler(rate, RATE).process(samples)
    count = len(speech) // FRAME
    frames = [speech[index * FRAME : (index + 1) * FRAME].tobytes() for index in range(count)]
    settings = OpusSettings(bitrate=32_000, complexity=5, playback_rate=rate_for(rate))
    encoder, decoder = LibOpusEncoder(settings), LibOpusDecoder()
    key = bytes(range(30))
    kinds = (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND)
    outbound, inbound = (Session(Policy(key=key, ssrc_type=kind)) for kind in kinds)
    header = [bytes(RtpPacket(111, index, index * FRAME, 1, b"")) for index in range(count)]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.bind(("127.0.0.1", 0))
        there = other.getsockname()
        heard = 0
        began = time.process_time()
        for index in range(count):
            one.sendto(outbound.protect(header[index] + encoder.encode(frames[index])), there)
            packet = inbound.unprotect(other.recv(2_048))
            played = decoder.decode(packet[12:], None)
            heard += 0 if played is None else len(played)
        spent = time.process_time() - began
    assert heard == count * FRAME
    return spent / count * FRAMES * 1000
