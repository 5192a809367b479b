"""Whether what WebRTC needs works on this machine: a handshake, a packet, a frame of audio; tried, not assumed."""

import numpy as np

from sansio_sip.context import Context, DirectOracle, Private

from .codecs.factory import make_decoder, make_encoder
from .crypto import CryptoProvider, DtlsStatus, SrtpProfile

__all__ = ["webrtc_fault"]

# A handshake in memory takes six flights; more than this many turns go nowhere.
MAX_TURNS = 10

PACKET = bytes([0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]) + b"some audio"


def webrtc_fault(context: Context, crypto: CryptoProvider | None) -> str:
    """What does not work, for people; empty where all does."""
    if crypto is None:
        return "there is no cryptography"
    for name, trial in (("DTLS", _try_dtls), ("SRTP", _try_srtp)):
        try:
            fault = trial(crypto)
        except Exception as error:  # whatever a library does that is missing, broken or of another version
            fault = f"{type(error).__name__}: {error}"
        if fault:
            return f"{name}: {fault}"
    try:
        fault = _try_opus(context)
    except Exception as error:  # as above
        fault = f"{type(error).__name__}: {error}"
    return f"Opus: {fault}" if fault else ""


def _try_dtls(crypto: CryptoProvider) -> str:
    """Both ends of an association with ourselves."""
    client, server = crypto.dtls_endpoint("client"), crypto.dtls_endpoint("server")
    step, other = client.start(), server.start()
    for _ in range(MAX_TURNS):
        for datagram in step.datagrams:
            other = server.receive(datagram)
            for answer in other.datagrams:
                step = client.receive(answer)
        if step.status is DtlsStatus.CONNECTED and other.status is DtlsStatus.CONNECTED:
            return "" if step.profile is not None else "no SRTP profile was agreed"
    return step.reason or other.reason or "the handshake does not end"


def _try_srtp(crypto: CryptoProvider) -> str:
    profile = SrtpProfile.AES128_CM_SHA1_80
    key = crypto.sdes_key(profile)
    protected = crypto.srtp_session(key, profile, "outbound").protect(PACKET)
    if not isinstance(protected, bytes) or protected == PACKET:
        return "a packet is not protected"
    return "" if crypto.srtp_session(key, profile, "inbound").unprotect(protected) == PACKET else "a packet is lost"


def _try_opus(context: Context) -> str:
    alone = Context(context.entropy, DirectOracle())
    encoder, decoder = make_encoder("opus", alone), make_decoder("opus", alone)
    tone = (8000 * np.sin(np.arange(4800) * 2 * np.pi * 440 / 48_000)).astype(np.int16)
    heard = [decoder.decode(Private(encoder.encode(tone[i : i + 960]))) for i in range(0, 4800, 960)]
    return "" if float(np.abs(np.concatenate(heard).astype(np.float64)).max()) > 1000 else "a tone is not heard"
