"""Writing our media sections: the audio of an offer or an answer, and the refusal of everything else."""

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError

from .attributes import STATIC_FORMATS, Direction, Fmtp, Rtcp, RtpMap
from .model import Attribute, Connection, MediaDescription
from .negotiation import CATALOGUE, COMFORT_NOISE, TELEPHONE_EVENT, Codec, LocalMedia
from .security_descriptions import CryptoAttribute

__all__ = ["audio_section", "check_local", "codecs_to_offer", "connection_to", "own_parameters", "refused_section"]

_EVENT_PARAMETERS = "0-15"  # the DTMF keys (RFC 4733 section 3.2)
_EVENT_PAYLOAD_TYPES = {8000: 101, 48000: 110}  # those that peers use most
_NOISE = STATIC_FORMATS[13]
_SPELLINGS = {COMFORT_NOISE: _NOISE.name}
_DYNAMIC = range(96, 128)  # RFC 3551 section 6
_PACKET_TIME = 20
_LONGEST_PACKET_TIME = 60  # of what our decoders take


def check_local(local: LocalMedia) -> None:
    """Raises LocalProtocolError if our own part does not hold together."""
    if local.profile not in ("webrtc", "srtp", "rtp"):
        raise LocalProtocolError(f"profile {local.profile!r} is not known; use 'webrtc', 'srtp' or 'rtp'")
    unknown = [name for name in local.codecs if name not in CATALOGUE]
    if unknown or not local.codecs:
        raise LocalProtocolError(f"codecs {unknown} are not known; name some of {', '.join(CATALOGUE)}")
    if local.direction not in {direction.value for direction in Direction}:
        raise LocalProtocolError(f"direction {local.direction!r} is not known")
    if local.setup not in ("actpass", "active", "passive"):
        raise LocalProtocolError(f"setup {local.setup!r} is not known; use actpass, active or passive")
    if local.profile == "webrtc" and not (local.ice_ufrag and local.ice_pwd and local.fingerprint):
        raise LocalProtocolError("a WebRTC description needs ice_ufrag, ice_pwd and fingerprint")
    if local.profile == "srtp" and not local.crypto:
        raise LocalProtocolError("a description with the profile srtp needs keys in crypto")


def own_parameters(name: str, local: LocalMedia) -> str:
    """Our `fmtp` for a codec: what we like to receive."""
    match name:
        case "telephone-event":
            return _EVENT_PARAMETERS
        case "cn":
            return ""
        case _:
            return dict(local.parameters).get(name, CATALOGUE[name].parameters)


def codecs_to_offer(local: LocalMedia, payload_types: dict[tuple[str, int], int]) -> tuple[Codec, ...]:
    """The codecs, then comfort noise if one of them needs it, then a telephone-event for each of their clock rates.

    `payload_types` is what the session has used so far; it is kept, and what is new is added to it.
    """
    codecs = []
    for name in dict.fromkeys(local.codecs):
        row = CATALOGUE[name].rtp_map
        number = _payload_type((name, row.clock_rate), row.payload_type, payload_types)
        codecs.append(Codec(name, number, row.clock_rate, row.channels, own_parameters(name, local)))
    if any(codec.clock_rate == _NOISE.clock_rate for codec in codecs):
        number = _payload_type((COMFORT_NOISE, _NOISE.clock_rate), _NOISE.payload_type, payload_types)
        codecs.append(Codec(COMFORT_NOISE, number, _NOISE.clock_rate))
    for clock_rate in dict.fromkeys(codec.clock_rate for codec in tuple(codecs)):
        number = _payload_type((TELEPHONE_EVENT, clock_rate), _EVENT_PAYLOAD_TYPES[clock_rate], payload_types)
        codecs.append(Codec(TELEPHONE_EVENT, number, clock_rate, 1, _EVENT_PARAMETERS))
    return tuple(codecs)


def _payload_type(key: tuple[str, int], wanted: int, payload_types: dict[tuple[str, int], int]) -> int:
    """RFC 3264 section 8.3.2: a payload type keeps its meaning throughout the session."""
    number = payload_types.get(key)
    if number is None:
        used = set(payload_types.values())
        number = wanted if wanted not in used else next(free for free in _DYNAMIC if free not in used)
        payload_types[key] = number
    return number


def connection_to(address: Address) -> Connection:
    return Connection(address.host, "IP6" if ":" in address.host else "IP4")


def audio_section(
    local: LocalMedia,
    *,
    protocol: str,
    codecs: tuple[Codec, ...],
    direction: Direction,
    setup: str,
    mid: str | None,
    rtcp_mux: bool,
    rtcp_mux_only: bool = False,
    voip_metrics: bool = False,
    ice_mismatch: bool = False,
    crypto: tuple[CryptoAttribute, ...] = (),
) -> MediaDescription:
    """Our audio. `codecs` in the order of the m= line, telephone-events included."""
    rows: list[tuple[str, str | None]] = []
    webrtc = local.profile == "webrtc"
    if mid is not None:
        rows.append(("mid", mid))
    rows.append((direction.value, None))
    if webrtc:
        assert local.fingerprint is not None
        rows.append(("ice-ufrag", local.ice_ufrag))
        rows.append(("ice-pwd", local.ice_pwd))
        rows.append(("fingerprint", str(local.fingerprint)))
        rows.append(("setup", setup))
    rows.extend(("crypto", str(line)) for line in crypto)
    if rtcp_mux:
        rows.append(("rtcp-mux", None))
    if rtcp_mux_only:
        rows.append(("rtcp-mux-only", None))
    if ice_mismatch:
        rows.append(("ice-mismatch", None))
    if voip_metrics:
        rows.append(("rtcp-xr", "voip-metrics"))
    if local.rtcp_port and not webrtc:
        rows.append(("rtcp", str(Rtcp(local.rtcp_port))))
    for codec in codecs:
        known = CATALOGUE.get(codec.name)
        name = known.rtp_map.name if known is not None else _SPELLINGS.get(codec.name, codec.name)
        rows.append(("rtpmap", str(RtpMap(codec.payload_type, name, codec.clock_rate, codec.channels))))
        if parameters := own_parameters(codec.name, local):
            rows.append(("fmtp", str(Fmtp(codec.payload_type, parameters))))
    rows.append(("ptime", str(_PACKET_TIME)))
    rows.append(("maxptime", str(_LONGEST_PACKET_TIME)))
    if webrtc:
        if direction.sends and local.cname:
            # A browser puts a track without a=msid into no stream, and many pages take their audio from a stream.
            rows.append(("msid", f"{local.cname} {local.cname}-audio"))
        if local.cname:
            rows.append(("ssrc", f"{local.ssrc} cname:{local.cname}"))
        rows.extend(("candidate", candidate) for candidate in local.candidates)
        rows.append(("end-of-candidates", None))
    return MediaDescription(
        kind="audio",
        port=local.address.port,
        protocol=protocol,
        formats=tuple(str(codec.payload_type) for codec in codecs),
        connections=(connection_to(local.address),) if webrtc else (),
        attributes=tuple(Attribute(name, value) for name, value in rows),
    )


def refused_section(section: MediaDescription, local: LocalMedia) -> MediaDescription:
    """RFC 3264 section 6: "to reject an offered stream, the port number in the corresponding stream in the answer MUST
    be set to zero. Any media formats listed are ignored." One stays, since the grammar wants one.
    """
    mid = section.get("mid")
    return MediaDescription(
        kind=section.kind,
        port=0,
        protocol=section.protocol,
        formats=section.formats[:1] or ("0",),
        connections=(Connection("0.0.0.0"),) if local.profile == "webrtc" else (),
        attributes=(Attribute("mid", mid),) if mid else (),
    )
