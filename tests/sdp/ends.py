"""What our end brings to a negotiation, for tests."""

from sansio_sip.effects import Address
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.sdp.offer_answer import LocalMedia

__all__ = ["FINGERPRINT", "rtp_end", "webrtc_end"]

FINGERPRINT = Fingerprint("sha-256", ":".join(f"{octet:02X}" for octet in range(32)))
_CODECS = ("opus", "pcmu", "pcma")


def rtp_end(direction: str = "sendrecv", *, codecs: tuple[str, ...] = _CODECS, port: int = 4000) -> LocalMedia:
    return LocalMedia("rtp", Address("192.0.2.1", port), codecs, direction)


def webrtc_end(
    direction: str = "sendrecv", *, codecs: tuple[str, ...] = _CODECS, setup: str = "actpass", port: int = 4000
) -> LocalMedia:
    return LocalMedia(
        "webrtc",
        Address("192.0.2.1", port),
        codecs,
        direction,
        candidates=(f"1 1 UDP 2130706431 192.0.2.1 {port} typ host",),
        ice_ufrag="ourf",
        ice_pwd="ourpasswordourpassword12",
        fingerprint=FINGERPRINT,
        setup=setup,
        cname="alice",
        ssrc=1234,
    )
