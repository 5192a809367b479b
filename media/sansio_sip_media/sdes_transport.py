"""SRTP with keys from the descriptions (RFC 4568): the way of plain RTP, with each packet protected.

There is no handshake and no check of the path: packets go where the description says, as with plain RTP. But only what
was authenticated counts, so a stranger cannot draw the stream to himself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from sansio_sip.context import Context, Private, Secret
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.negotiation import LocalMedia, Negotiated
from sansio_sip.sdp.security_descriptions import CryptoAttribute

from .crypto import CryptoProvider, Direction, SrtpProfile, SrtpSession, local_sdes_key
from .demux import Kind
from .plain_transport import PlainTransport
from .srtp import SrtpTransport
from .transport import Arrived, Connected, Failed, Interrupted, Path, TransportOutput

__all__ = ["SdesTransport"]

# By the names of RFC 4568 and RFC 7714, in our order of preference: the first is the one that every peer has.
PROFILES: Mapping[str, SrtpProfile] = {
    "AES_CM_128_HMAC_SHA1_80": SrtpProfile.AES128_CM_SHA1_80,
    "AEAD_AES_128_GCM": SrtpProfile.AEAD_AES_128_GCM,
}

SRTCP_INDEX = 4  # octets


class SdesTransport:
    """The machine. `silence`: seconds without any packet after which the peer counts as lost.

    Our keys are drawn when the first description is made, one for each suite, and stay for the session: a re-offer
    that said others would begin the streams anew (RFC 4568 section 7.1.4).
    """

    def __init__(self, context: Context, crypto: CryptoProvider | None, silence: float) -> None:
        self._context = context
        self._crypto = crypto
        self._plain = PlainTransport(silence)
        self._own: tuple[CryptoAttribute, ...] = ()
        self._local: CryptoAttribute | None = None
        self._remote: CryptoAttribute | None = None
        self._inbound: SrtpSession | None = None
        self._outbound: SrtpSession | None = None
        self._srtp: SrtpTransport | None = None
        self._rejected: Counter[str] = Counter()

    protection = "SDES-SRTP"
    rtt: float | None = None

    @property
    def stages(self) -> Mapping[str, float]:
        return self._plain.stages

    @property
    def path(self) -> Path | None:
        return self._plain.path

    @property
    def rejected(self) -> Mapping[str, int]:
        rejected = Counter(self._rejected)
        rejected.update(self._plain.rejected)
        if self._srtp is not None:
            rejected.update({f"SRTP {cause}": count for cause, count in self._srtp.rejected.items()})
        return rejected

    def fork(self) -> "SdesTransport":
        other = SdesTransport(self._context, self._crypto, 0.0)
        other._plain, other._own = self._plain.fork(), self._own
        return other

    def claims(self, flow: FlowId, data: bytes, source: Address, kind: Kind) -> int:
        return self._plain.claims(flow, data, source, kind)

    def add_flow(self, flow: FlowId, local: Address, *, now: float) -> None:
        self._plain.add_flow(flow, local, now=now)

    def add_rtcp_flow(self, flow: FlowId) -> None:
        self._plain.add_rtcp_flow(flow)

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        self._plain.flow_lost(flow, now=now)

    def restart(self, *, moved: bool, now: float) -> None:
        self._plain.restart(moved=moved, now=now)

    def prepare_answer(self, offer: SessionDescription, *, now: float) -> None:
        """An answer depends on nothing here that the negotiation does not see itself."""

    def describe(self, media: LocalMedia) -> LocalMedia:
        if not self._own:
            self._own = tuple(
                CryptoAttribute(tag, suite, Secret(local_sdes_key(self._context, self._crypto, profile)))
                for tag, (suite, profile) in enumerate(PROFILES.items(), start=1)
            )
        return replace(media, crypto=self._own)

    def settle(self, negotiated: Negotiated, *, now: float) -> None:
        local, remote = negotiated.local_crypto, negotiated.remote_crypto
        assert local is not None
        assert remote is not None
        ours_changed = self._local is None or (local.suite, local.key) != (self._local.suite, self._local.key)
        theirs_changed = self._remote is None or (remote.suite, remote.key) != (self._remote.suite, self._remote.key)
        if ours_changed or theirs_changed:
            if self._srtp is not None:
                self._rejected.update({f"SRTP {cause}": count for cause, count in self._srtp.rejected.items()})
            if ours_changed:
                self._outbound = self._session(local, "outbound")
            if theirs_changed:
                self._inbound = self._session(remote, "inbound")
            profile = PROFILES[local.suite]
            self._srtp = SrtpTransport(self._context, profile, inbound=self._inbound, outbound=self._outbound)
            self._local, self._remote = local, remote
        self._plain.settle(negotiated, now=now)

    def _session(self, line: CryptoAttribute, direction: Direction) -> SrtpSession | None:
        """None in a replay, where the oracle answers for it."""
        if self._crypto is None:
            return None
        return self._crypto.srtp_session(Secret(line.octets().hex()), PROFILES[line.suite], direction)

    def send(self, packet: Private, kind: Kind, *, now: float) -> bool:
        if self._srtp is None or self._plain.path is None:
            return False
        sealed = self._srtp.protect(packet) if kind is Kind.RTP else self._srtp.protect_rtcp(packet)
        return sealed is not None and self._plain.send(sealed, kind, now=now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, kind: Kind, *, now: float) -> None:
        if self._srtp is None or kind not in (Kind.RTP, Kind.RTCP):
            self._rejected[f"unexpected {kind.value}"] += 1
            return
        opened = self._srtp.unprotect(data) if kind is Kind.RTP else self._srtp.unprotect_rtcp(data)
        if opened is not None:
            self._plain.receive_datagram(flow, opened, source, kind, now=now)

    def close(self, *, now: float) -> None:
        self._plain.close(now=now)

    def handle_timeout(self, *, now: float) -> None:
        self._plain.handle_timeout(now=now)

    def next_timeout(self) -> float | None:
        return self._plain.next_timeout()

    def poll_output(self) -> TransportOutput | None:
        output = self._plain.poll_output()
        return self._sized(output) if isinstance(output, Arrived) else output

    def outputs(self) -> Iterator[TransportOutput]:
        for output in self._plain.outputs():
            match output:
                case Arrived():
                    yield self._sized(output)
                case SendDatagram() | Connected() | Interrupted() | Failed():
                    yield output

    def _sized(self, packet: Arrived) -> Arrived:
        """With the size that it had on the wire."""
        assert self._srtp is not None
        added = self._srtp.profile.tag_length + (SRTCP_INDEX if packet.kind is Kind.RTCP else 0)
        return replace(packet, size=packet.size + added)
