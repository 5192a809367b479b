"""What two ends agree on: the values, and what a peer's description says of them.

Pure functions over one description. The order of turns (offer, answer, roll-back) is `offer_answer`'s.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from types import MappingProxyType

from sansio_sip.effects import Address
from sansio_sip.errors import RemoteProtocolError

from .attributes import (
    Direction,
    Fingerprint,
    Rtcp,
    RtpMap,
    direction_of,
    fingerprints_of,
    format_parameters,
    inherited,
    is_ip_address,
    packet_time,
    rtp_maps,
)
from .model import MediaDescription, SessionDescription
from .security_descriptions import CryptoAttribute, usable_crypto

__all__ = [
    "CATALOGUE",
    "COMFORT_NOISE",
    "TELEPHONE_EVENT",
    "Codec",
    "LocalMedia",
    "Negotiated",
    "NegotiationError",
    "Offered",
    "Peer",
    "RemoteIce",
    "common_codecs",
    "multiplexes_rtcp",
    "profile_of",
    "read_peer",
    "section_profile",
]

TELEPHONE_EVENT = "telephone-event"
COMFORT_NOISE = "cn"  # RFC 3389; it goes with codecs that have no comfort noise of their own

# RFC 8122 section 5 forbids MD2 and MD5, and of several hash functions has an endpoint take the one that it prefers:
# the certificate must match a fingerprint made with that. The octets of each hash, the most preferred first.
_HASHES: Mapping[str, int] = {"sha-512": 64, "sha-384": 48, "sha-256": 32, "sha-224": 28, "sha-1": 20}

_MAX_CANDIDATES = 64
"""Of a peer, per section: RFC 8445 section 6.1.2.5 limits the pairs to 100; a phone with some interfaces sends 10."""

_MAX_CANDIDATE_LENGTH = 512
_MAX_CREDENTIAL = 256  # RFC 8839 section 5.4
_VOIP_METRICS = "voip-metrics"
_PACKET_TIMES = (10, 20, 30, 40, 60)
_DEFAULT_PACKET_TIME = 20  # RFC 3551 section 4.2


class NegotiationError(RemoteProtocolError):
    """A description that cannot be agreed to. `status` is the SIP answer that fits: 488, or 491 for glare."""

    def __init__(self, reason: str, *, status: int = 488) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Codec:
    """One format. `name` in lower case: `opus`, `g722`, `pcmu`, `pcma`, `cn`, `telephone-event`.

    `channels` is that of `rtpmap`: 2 for Opus always, which says nothing of the audio (RFC 7587 section 7).
    `parameters` is the `fmtp` of the end that receives with this payload type.
    """

    name: str
    payload_type: int
    clock_rate: int
    channels: int = 1
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Offered:
    """A codec as we offer it: its rtpmap with the payload type we would choose, and its fmtp."""

    rtp_map: RtpMap
    parameters: str = ""


CATALOGUE: Mapping[str, Offered] = MappingProxyType(
    {
        # RFC 7587 section 7: "The RTP clock rate in "a=rtpmap" MUST be 48000, and the number of channels MUST be 2."
        "opus": Offered(RtpMap(111, "opus", 48000, 2), "minptime=10;useinbandfec=1"),
        # RFC 3551 section 4.5.2: a clock rate of 8000 Hz for audio at 16 kHz, by an error that has become the rule.
        "g722": Offered(RtpMap(9, "G722", 8000)),
        "pcmu": Offered(RtpMap(0, "PCMU", 8000)),
        "pcma": Offered(RtpMap(8, "PCMA", 8000)),
    }
)
"""The codecs this library knows, by the names that `LocalMedia.codecs` takes."""


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What our end brings to an offer or an answer.

    Attributes:
        profile: `webrtc`, `srtp` or `rtp`; for an answer, that of the offer (`profile_of`).
        address: where RTP is received, for `m=` and `c=`; with ICE, the default candidate.
        codecs: names in order of preference, of `CATALOGUE`; telephone-event is added at their clock rates.
        direction: what we wish; the answer to an offer may be less.
        candidates: values of `a=candidate`, without the name.
        setup: DTLS role. `actpass` leaves it to the other end in an offer, and chooses `active` in an answer.
        cname: RTCP's canonical name. ssrc: of what we send; announced with WebRTC.
        crypto: our keys for the `srtp` profile, one line for each suite.
        parameters: names of codecs, each with our `fmtp` for it in place of the catalogue's.
        rtcp_port: where RTCP is received when it is not multiplexed; 0: the next port, which goes without saying.
    """

    profile: str
    address: Address
    codecs: tuple[str, ...] = ("opus", "pcmu", "pcma")
    direction: str = "sendrecv"
    candidates: tuple[str, ...] = ()
    ice_ufrag: str = ""
    ice_pwd: str = field(default="", repr=False)
    fingerprint: Fingerprint | None = None
    setup: str = "actpass"
    cname: str = ""
    ssrc: int = 0
    rtcp_port: int = 0
    crypto: tuple[CryptoAttribute, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteIce:
    """The peer's ICE parameters (RFC 8839); `candidates` are values of `a=candidate`, unread."""

    ufrag: str
    pwd: str = field(repr=False)
    candidates: tuple[str, ...] = ()
    lite: bool = False


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What offer and answer came to.

    Attributes:
        codecs: those in common, most preferred first, with the payload types that we send with.
        receive_payload_types: what each payload type means that may arrive; telephone-event and comfort noise are
            among them.
        dtmf: the telephone-event we send with. Its clock rate is that of the first codec where the peer has such a
            one; else it is another, and durations count in it (browsers do this with Opus and telephone-event/8000).
        direction: ours, after the answer.
        remote_address: where to send; None on hold by address, for a host name in `c=` (send to where the peer's
            packets come from), or with ICE's placeholder 0.0.0.0.
        remote_rtcp: where to send RTCP; the same when it is multiplexed.
        ice: with WebRTC always.
        fingerprints: one of these must be the peer's certificate; all of the best hash function that it offers.
        dtls_role: ours.
        local_crypto, remote_crypto: the keys that each end sends with, of one suite; with the `srtp` profile always.
        ptime: milliseconds of audio that the peer wants in a packet: 10, 20, 30, 40 or 60.
        voip_metrics: whether the peer asks for them in RTCP XR (RFC 3611 section 5).
    """

    profile: str
    codecs: tuple[Codec, ...]
    receive_payload_types: Mapping[int, Codec]
    dtmf: Codec | None
    direction: str
    remote_address: Address | None
    remote_rtcp: Address | None
    rtcp_mux: bool
    ice: RemoteIce | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    dtls_role: str | None = None
    local_crypto: CryptoAttribute | None = None
    remote_crypto: CryptoAttribute | None = None
    ptime: int = _DEFAULT_PACKET_TIME
    voip_metrics: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """What one media section says of its sender, whether offer or answer.

    `ice_mismatch`: it has candidates, and the address that it names is none of them: somebody has changed it.
    """

    direction: Direction
    address: Address | None
    rtcp: Address | None
    rtcp_mux: bool
    ice: RemoteIce | None
    fingerprints: tuple[Fingerprint, ...]
    setup: str | None
    ptime: int
    mid: str | None
    crypto: tuple[CryptoAttribute, ...] = ()
    voip_metrics: bool = False
    ice_mismatch: bool = False


def section_profile(description: SessionDescription, media: MediaDescription) -> str | None:
    """`webrtc`, `srtp`, `rtp`, or None for what we cannot carry."""
    match media.protocol:
        case "RTP/AVP" | "RTP/AVPF":
            return "rtp"
        case "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP":
            return "webrtc"
        # RFC 8829 section 5.1.2 has these taken for DTLS-SRTP too: older browsers wrote them.
        case "RTP/SAVPF" | "RTP/SAVP" if fingerprints_of(description, media):
            return "webrtc"
        case "RTP/SAVPF" | "RTP/SAVP" if media.has("crypto"):
            return "srtp"
        case _:
            return None


def profile_of(offer: SessionDescription, allowed: Collection[str] = ("webrtc", "rtp")) -> str:
    """The profile of the first audio section that is on and has an allowed one. Raises NegotiationError (488)."""
    seen = []
    for media in offer.media:
        if media.kind != "audio" or media.port == 0:
            continue
        profile = section_profile(offer, media)
        if profile in allowed:
            assert profile is not None
            return profile
        seen.append(media.protocol)
    if not seen:
        raise NegotiationError("the offer has no audio")
    raise NegotiationError(f"profile {', '.join(seen)[:80]} is none of those allowed: {', '.join(sorted(allowed))}")


def multiplexes_rtcp(offer: SessionDescription, profile: str) -> bool:
    """Whether the audio that is offered with this profile has RTP and RTCP on one port."""
    sections = (each for each in offer.media if each.kind == "audio" and each.port)
    return any(each.has("rtcp-mux") for each in sections if section_profile(offer, each) == profile)


def read_peer(description: SessionDescription, media: MediaDescription, profile: str) -> Peer:
    """Reads one section that is on. Raises NegotiationError where it lacks what the profile needs."""
    direction = direction_of(description, media)
    connection = description.connection_of(media)
    if connection is None and profile != "webrtc":
        raise NegotiationError("no c= line")
    host = connection.address if connection is not None else "0.0.0.0"
    address: Address | None = Address(host, media.port)
    if not is_ip_address(host):
        address = None
    elif ip_address(host).is_unspecified:
        address = None
        if profile != "webrtc":
            # RFC 3264 section 8.4, the old way of hold: "An agent MUST be capable of receiving SDP with a connection
            # address of 0.0.0.0, in which case it means that neither RTP nor RTCP should be sent to the peer."
            direction = Direction.of(sends=direction.sends, receives=False)
    elif ip_address(host).is_multicast:
        raise NegotiationError("media for a group of receivers (multicast) is not supported")
    rtcp_mux = media.has("rtcp-mux")
    ice: RemoteIce | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str | None = None
    if profile == "webrtc":
        if media.has("ice-mismatch"):
            raise NegotiationError("the far end found another address than our candidates' (ICE mismatch)")
        if not rtcp_mux:
            raise NegotiationError("WebRTC without rtcp-mux")
        ice = _read_ice(description, media)
        fingerprints = _usable(fingerprints_of(description, media))
        if not fingerprints:
            raise NegotiationError("no certificate fingerprint that can be checked")
        setup = inherited(description, media, "setup")
        if setup not in (None, "actpass", "active", "passive"):
            raise NegotiationError(f"setup {setup[:20]!r} cannot be followed")
    crypto = usable_crypto(media.get_all("crypto")) if profile == "srtp" else ()
    if profile == "srtp" and not crypto:
        raise NegotiationError("no a=crypto line that can be honoured")
    return Peer(
        direction=direction,
        address=address,
        rtcp=address if rtcp_mux else _rtcp_address(media, address),
        rtcp_mux=rtcp_mux,
        ice=ice,
        fingerprints=fingerprints,
        setup=setup,
        ptime=_packet_time(media),
        mid=_token(media.get("mid")),
        crypto=crypto,
        voip_metrics=_VOIP_METRICS in (inherited(description, media, "rtcp-xr") or "").split(),
        ice_mismatch=profile != "webrtc" and _is_mismatched(media, address),
    )


def _is_mismatched(media: MediaDescription, address: Address | None) -> bool:
    """RFC 8839 section 4.2.5: the default destination is not among the candidates of its component.

    None is named by 0.0.0.0, by port 9 where candidates are to follow (RFC 8840 section 4.1.1), or by a host name.
    WebRTC never asks: it goes by candidates alone (RFC 8829 section 5.8).
    """
    lines = [line.split() for line in media.get_all("candidate")[:_MAX_CANDIDATES]]
    told = [(line[4].lower(), line[5]) for line in lines if len(line) >= 8 and line[1] == "1"]
    if not told or address is None or address.port == 9:
        return False
    return (address.host.lower(), str(address.port)) not in told


def _token(text: str | None) -> str | None:
    return text if text and not any(character.isspace() for character in text) else None


def _read_ice(description: SessionDescription, media: MediaDescription) -> RemoteIce:
    ufrag = inherited(description, media, "ice-ufrag") or ""
    pwd = inherited(description, media, "ice-pwd") or ""
    # RFC 8839 section 5.4: a ufrag has 4 to 256 characters, a password 22 to 256.
    if not 4 <= len(ufrag) <= _MAX_CREDENTIAL or not 22 <= len(pwd) <= _MAX_CREDENTIAL:
        raise NegotiationError("ICE user name or password is missing or of a length that is not allowed")
    if not (ufrag.isascii() and ufrag.isprintable() and pwd.isascii() and pwd.isprintable()):
        raise NegotiationError("ICE user name or password holds characters that are not allowed")
    candidates = tuple(text for text in media.get_all("candidate") if len(text) <= _MAX_CANDIDATE_LENGTH)
    return RemoteIce(ufrag, pwd, candidates[:_MAX_CANDIDATES], description.has("ice-lite"))


def _usable(fingerprints: tuple[Fingerprint, ...]) -> tuple[Fingerprint, ...]:
    for algorithm, octets in _HASHES.items():
        chosen = tuple(row for row in fingerprints if row.algorithm == algorithm and len(row.value) == 3 * octets - 1)
        if chosen:
            return chosen
    return ()


def _rtcp_address(media: MediaDescription, address: Address | None) -> Address | None:
    if address is None:
        return None
    text = media.get("rtcp")
    if text is not None:
        try:
            rtcp = Rtcp.parse(text)
        except RemoteProtocolError:
            pass
        else:
            host = rtcp.address or address.host
            usable = is_ip_address(host) and not ip_address(host).is_unspecified and not ip_address(host).is_multicast
            return Address(host, rtcp.port) if usable and rtcp.port else None
    # RFC 3550 section 11: "RTP SHOULD use an even destination port number and the corresponding RTCP stream SHOULD use
    # the next higher (odd) destination port number".
    return Address(address.host, address.port + 1) if address.port < 65_535 else None


def _packet_time(media: MediaDescription) -> int:
    longest = packet_time(media, "maxptime") or _PACKET_TIMES[-1]
    wanted = packet_time(media)
    if wanted not in _PACKET_TIMES:
        wanted = _DEFAULT_PACKET_TIME
    return max((time for time in _PACKET_TIMES if time <= min(wanted, longest)), default=_PACKET_TIMES[0])


def common_codecs(
    media: MediaDescription, names: Collection[str], *, rtcp_mux: bool
) -> tuple[tuple[Codec, ...], tuple[Codec, ...]]:
    """Of a peer's section, in its order: the codecs among `names`, and what goes with them: telephone-events at their
    clock rates, and comfort noise.

    At most one payload type for each. Raises NegotiationError when there is no codec in common.
    """
    parameters = format_parameters(media)
    codecs: dict[str, Codec] = {}
    events: dict[int, Codec] = {}
    noise: tuple[Codec, ...] = ()
    for number, row in rtp_maps(media).items():
        # RFC 5761 section 4 keeps 64 to 95 free: with the marker bit these look like RTCP.
        if rtcp_mux and 64 <= number <= 95:
            continue
        name, clock_rate, channels = row.key
        codec = Codec(name, number, clock_rate, channels, parameters.get(number, ""))
        if name == TELEPHONE_EVENT and channels == 1:
            events.setdefault(clock_rate, codec)
        elif codec.name == COMFORT_NOISE and (clock_rate, channels) == (8000, 1):
            noise = noise or (codec,)
        elif name in names and name in CATALOGUE:
            ours = CATALOGUE[name].rtp_map
            # Gateways leave the channels of Opus out, as if `/1` could be meant; there is but one Opus.
            if clock_rate == ours.clock_rate and (channels == ours.channels or name == "opus"):
                codecs.setdefault(name, replace(codec, channels=ours.channels))
    if not codecs:
        raise NegotiationError(f"no codec in common; ours are {', '.join(names)}")
    rates = {codec.clock_rate for codec in codecs.values()}
    # RFC 4733 section 2.1 wants the clock rate of the audio beside it. Where the peer has none such, one at another
    # rate is better than no digits at all.
    matching = tuple(event for rate, event in events.items() if rate in rates) or tuple(events.values())[:1]
    return tuple(codecs.values()), matching + (noise if 8000 in rates else ())
