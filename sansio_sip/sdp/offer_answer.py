"""Offer and answer for one stream of audio (RFC 3264; for WebRTC, the part of RFC 8829 that such a call needs).

Theory of operation
-------------------
One `OfferAnswer` lives as long as the media session. Each turn is an offer by one end and its answer by the other:

    create_offer -> the peer's answer -> accept_answer
    receive_offer -> create_answer                        (accept_offer does both)

`rollback` takes back an offer that was not answered (a rejected re-INVITE, glare). Sections of an offer that are no
audio for us are refused with port 0, and keep their place in every later offer of ours, as RFC 3264 section 8 demands.
Payload types stay with their codec through all turns (section 8.3.2).

Nothing changes when a call raises: `NegotiationError` for what the peer sent, `LocalProtocolError` for a turn out of
order.
"""

from dataclasses import dataclass, replace
from enum import Enum

from sansio_sip.errors import LocalProtocolError, RemoteProtocolError

from .attributes import Direction, Group
from .model import Attribute, MediaDescription, Origin, SessionDescription
from .negotiation import (
    TELEPHONE_EVENT,
    Codec,
    LocalMedia,
    Negotiated,
    NegotiationError,
    Peer,
    RemoteIce,
    common_codecs,
    profile_of,
    read_peer,
    section_profile,
)
from .sections import audio_section, check_local, codecs_to_offer, connection_to, own_parameters, refused_section
from .security_descriptions import CryptoAttribute, choose_crypto

__all__ = [
    "Codec",
    "LocalMedia",
    "Negotiated",
    "NegotiationError",
    "OfferAnswer",
    "RemoteIce",
    "State",
    "profile_of",
]


class State(Enum):
    """RFC 8829 section 3.2, without provisional answers.

         create_offer              receive_offer
      +--------------- STABLE ---------------+
      v               ^      ^               v
    HAVE_LOCAL_OFFER -+      +- HAVE_REMOTE_OFFER
         accept_answer, rollback   create_answer, rollback
    """

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    HAVE_REMOTE_OFFER = "have-remote-offer"


@dataclass(frozen=True, slots=True)
class _Layout:
    """The m= lines of the session: which is ours, its mid, and the refused ones around it."""

    sections: tuple[MediaDescription, ...] = ()
    audio: int = 0
    mid: str | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    """An offer of ours that waits for its answer. Telephone-events are among the codecs."""

    local: LocalMedia
    layout: _Layout
    codecs: tuple[Codec, ...]


class OfferAnswer:
    """The turns of one session. `session_id` is that of the `o=` line (`Entropy.session_id`)."""

    def __init__(self, session_id: int) -> None:
        self._session_id = session_id
        self._state = State.STABLE
        self._layout = _Layout()
        self._payload_types: dict[tuple[str, int], int] = {}
        self._pending: _Pending | None = None
        self._remote_offer: SessionDescription | None = None
        self._last: SessionDescription | None = None
        self._dtls_role: str | None = None

    @property
    def state(self) -> State:
        return self._state

    def fork(self) -> "OfferAnswer":
        """The same turns once more, to go on by themselves: an offer that forks is answered once on each way."""
        other = OfferAnswer(self._session_id)
        other._state = self._state
        other._layout = self._layout
        other._payload_types = dict(self._payload_types)
        other._pending = self._pending
        other._remote_offer = self._remote_offer
        other._last = self._last
        other._dtls_role = self._dtls_role
        return other

    def create_offer(self, local: LocalMedia) -> SessionDescription:
        """Our offer, with a version above that of everything sent before. Raises LocalProtocolError."""
        self._require(State.STABLE, "make an offer", "finish the exchange under way or roll it back")
        check_local(local)
        payload_types = dict(self._payload_types)
        codecs = codecs_to_offer(local, payload_types)
        before = self._layout
        mid = before.mid
        if mid is None and local.profile == "webrtc":
            used = {section.get("mid") for section in before.sections}
            mid = next(str(number) for number in range(len(used) + 1) if str(number) not in used)
        audio = audio_section(
            local,
            protocol=_protocol_to_offer(local, before),
            codecs=codecs,
            direction=Direction(local.direction),
            setup=local.setup,
            mid=mid,
            rtcp_mux=True,
            rtcp_mux_only=local.profile == "webrtc",
            voip_metrics=True,
            crypto=local.crypto,
        )
        sections = [refused_section(section, local) for section in before.sections] or [audio]
        sections[before.audio] = audio
        layout = _Layout(tuple(sections), before.audio, mid)
        offer = self._describe(local, layout, bundled=local.profile == "webrtc", repeats=False)
        self._payload_types = payload_types
        self._pending = _Pending(local, layout, codecs)
        self._state = State.HAVE_LOCAL_OFFER
        return offer

    def accept_answer(self, answer: SessionDescription) -> Negotiated:
        """Takes the answer to our offer. After a NegotiationError the offer still stands: roll back, or hang up."""
        self._require(State.HAVE_LOCAL_OFFER, "accept an answer", "make an offer first")
        assert self._pending is not None
        local, layout = self._pending.local, self._pending.layout
        # RFC 3264 section 6: "For each "m=" line in the offer, there MUST be a corresponding "m=" line in the answer."
        if len(answer.media) != len(layout.sections):
            raise NegotiationError(f"the answer has {len(answer.media)} m= lines, not {len(layout.sections)}")
        section = answer.media[layout.audio]
        if section.kind != "audio":
            raise NegotiationError(f"the answer has {section.kind[:20]!r} where our audio is")
        if section.port == 0:
            raise NegotiationError("the answer refuses our audio")
        if section_profile(answer, section) != local.profile:
            raise NegotiationError(f"the answer's profile {section.protocol[:40]!r} is not that of our offer")
        peer = read_peer(answer, section, local.profile)
        codecs, events = common_codecs(section, local.codecs, rtcp_mux=peer.rtcp_mux)
        offered = {(codec.name, codec.clock_rate): codec for codec in self._pending.codecs}
        events = tuple(event for event in events if (event.name, event.clock_rate) in offered)
        role = _role_from_answer(local.setup, peer.setup) if local.profile == "webrtc" else None
        crypto = _answered_crypto(peer, local) if local.profile == "srtp" else None
        receive = {}
        for codec in (*codecs, *events):
            ours = offered[codec.name, codec.clock_rate]
            receive[ours.payload_type] = ours
        # RFC 3264 section 6.1 has the peer send with our payload types, even if its own are others. Those that send
        # with their own are understood too, where no meaning of ours is in the way.
        for codec in (*codecs, *events):
            receive.setdefault(codec.payload_type, replace(codec, parameters=own_parameters(codec.name, local)))
        self._layout = layout
        self._dtls_role = role
        self._pending = None
        self._state = State.STABLE
        return _negotiated(local, peer, codecs, events, receive, role, crypto)

    def receive_offer(self, offer: SessionDescription) -> None:
        """Takes note of the peer's offer, to be answered when the user has decided.

        Raises NegotiationError with status 491 while an offer of ours or of the peer's is open (RFC 3261 section 14.1).
        """
        if self._state is not State.STABLE:
            raise NegotiationError(f"an offer while {self._state.value}", status=491)
        self._remote_offer = offer
        self._state = State.HAVE_REMOTE_OFFER

    def create_answer(self, local: LocalMedia) -> tuple[SessionDescription, Negotiated]:
        """Our answer. After a NegotiationError the offer still stands: roll back and refuse it with that status."""
        self._require(State.HAVE_REMOTE_OFFER, "answer", "there is no offer to answer")
        assert self._remote_offer is not None
        answer, negotiated = self._answer(self._remote_offer, local)
        self._remote_offer = None
        self._state = State.STABLE
        return answer, negotiated

    def accept_offer(self, offer: SessionDescription, local: LocalMedia) -> tuple[SessionDescription, Negotiated]:
        """`receive_offer` and `create_answer` in one. Nothing changes if either raises."""
        self.receive_offer(offer)
        try:
            return self.create_answer(local)
        except (RemoteProtocolError, LocalProtocolError):
            self.rollback()
            raise

    def rollback(self) -> None:
        """Takes back the offer under way; the session stays as the last exchange left it."""
        if self._state is State.STABLE:
            raise LocalProtocolError("cannot roll back: no offer is under way")
        self._pending = None
        self._remote_offer = None
        self._state = State.STABLE

    def _require(self, state: State, command: str, remedy: str) -> None:
        if self._state is not state:
            raise LocalProtocolError(f"cannot {command}: state is {self._state.value}; {remedy}")

    def _answer(self, offer: SessionDescription, local: LocalMedia) -> tuple[SessionDescription, Negotiated]:
        check_local(local)
        index, peer, codecs, events = self._choose(offer, local)
        section = offer.media[index]
        role = _role_for_offer(local.setup, peer.setup, self._dtls_role) if local.profile == "webrtc" else None
        crypto = choose_crypto(peer.crypto, local.crypto)
        direction = peer.direction.answered_by(Direction(local.direction))
        # RFC 3264 section 6.1: "it is RECOMMENDED that ... the answerer list formats in the same relative order they
        # were present in the offer".
        listed = sorted((*codecs, *events), key=lambda codec: section.formats.index(str(codec.payload_type)))
        audio = audio_section(
            local,
            protocol=section.protocol,
            codecs=tuple(listed),
            direction=direction,
            setup=_SETUPS[role] if role is not None else "",
            mid=peer.mid,
            rtcp_mux=peer.rtcp_mux,
            rtcp_mux_only=section.has("rtcp-mux-only") and local.profile == "webrtc",
            voip_metrics=peer.voip_metrics,
            ice_mismatch=peer.ice_mismatch,
            crypto=crypto[1:] if crypto is not None else (),
        )
        sections = [refused_section(other, local) for other in offer.media]
        sections[index] = audio
        layout = _Layout(tuple(sections), index, peer.mid)
        answer = self._describe(local, layout, bundled=_bundles(offer, peer.mid), repeats=True)
        self._layout = layout
        self._dtls_role = role
        taken = {codec.payload_type for codec in listed}
        kept = {key: number for key, number in self._payload_types.items() if number not in taken}
        self._payload_types = kept | {(codec.name, codec.clock_rate): codec.payload_type for codec in listed}
        receive = {codec.payload_type: replace(codec, parameters=own_parameters(codec.name, local)) for codec in listed}
        return answer, _negotiated(local, peer, codecs, events, receive, role, crypto)

    def _choose(
        self, offer: SessionDescription, local: LocalMedia
    ) -> tuple[int, Peer, tuple[Codec, ...], tuple[Codec, ...]]:
        """The section to accept: the one in use, else the first that suits. Raises what the first one lacked."""
        profile_of(offer, (local.profile,))
        failure: NegotiationError | None = None
        order = sorted(range(len(offer.media)), key=lambda index: index != self._layout.audio)
        for index in order:
            section = offer.media[index]
            if section.kind != "audio" or section.port == 0 or section_profile(offer, section) != local.profile:
                continue
            try:
                peer = read_peer(offer, section, local.profile)
                codecs, events = common_codecs(section, local.codecs, rtcp_mux=peer.rtcp_mux)
                if local.profile == "srtp" and choose_crypto(peer.crypto, local.crypto) is None:
                    raise NegotiationError("no a=crypto suite in common")
            except NegotiationError as error:
                failure = failure or error
                continue
            return index, peer, codecs, events
        assert failure is not None, "profile_of has found a section"
        raise failure

    def _describe(self, local: LocalMedia, layout: _Layout, *, bundled: bool, repeats: bool) -> SessionDescription:
        attributes = []
        if bundled and layout.mid is not None:
            attributes.append(Attribute("group", str(Group("BUNDLE", (layout.mid,)))))
        if local.profile == "webrtc":
            # RFC 8445 section 10: an agent of that RFC says so.
            attributes.append(Attribute("ice-options", "ice2"))
        # RFC 3264 section 8: of the o= line, nothing but the version may change, though our address may.
        before = self._last.origin if self._last is not None else None
        origin = before or Origin("-", self._session_id, 0, *_address_of(local))
        description = SessionDescription(
            origin=origin,
            connection=connection_to(local.address) if local.profile != "webrtc" else None,
            attributes=tuple(attributes),
            media=layout.sections,
        )
        # Section 8: "If the version in the origin line does not increment, the SDP MUST be identical to the SDP with
        # that version number." An answer that says the same again says so; an offer counts always.
        if not (repeats and description == self._last):
            description = replace(description, origin=replace(origin, session_version=origin.session_version + 1))
        self._last = description
        return description


# By profile: the one that we offer, and what peers call the same.
_PROTOCOLS = {
    "webrtc": ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"),
    "srtp": ("RTP/SAVP", "RTP/SAVPF"),
    "rtp": ("RTP/AVP", "RTP/AVPF"),
}
_SETUPS = {"client": "active", "server": "passive"}
_ROLES = {"active": "client", "passive": "server"}


def _protocol_to_offer(local: LocalMedia, layout: _Layout) -> str:
    """A later offer keeps to the words of the session (`RTP/AVPF`), for its m= line is the same stream."""
    if layout.sections:
        protocol = layout.sections[layout.audio].protocol
        if protocol in _PROTOCOLS[local.profile]:
            return protocol
    return _PROTOCOLS[local.profile][0]


def _address_of(local: LocalMedia) -> tuple[str, str]:
    # RFC 8829 section 5.2.1: with WebRTC the o= line names no address of ours, for privacy.
    if local.profile == "webrtc":
        return "127.0.0.1", "IP4"
    return local.address.host, "IP6" if ":" in local.address.host else "IP4"


def _bundles(offer: SessionDescription, mid: str | None) -> bool:
    """Whether the offer has our section in a bundle. RFC 9143 section 7.3.3: refused sections leave the group."""
    for text in offer.get_all("group"):
        semantics, *mids = text.split() or [""]
        if semantics == "BUNDLE" and mid in mids:
            return True
    return False


def _role_for_offer(wish: str, offered: str | None, current: str | None) -> str:
    """Our DTLS role when we answer. Without a=setup an offer leaves the choice to us, as browsers see it."""
    if offered in _ROLES:
        role = "server" if offered == "active" else "client"
        if wish in _ROLES and _ROLES[wish] != role:
            raise NegotiationError(f"the offer's setup:{offered} leaves us no setup:{wish}")
        return role
    # RFC 8842 section 5.3: an association that goes on keeps its roles; for a new one an answerer should be active.
    return _ROLES.get(wish) or current or "client"


def _role_from_answer(offered: str, answered: str | None) -> str:
    """Our DTLS role when the peer has answered. No a=setup: it acts, as RFC 8842 section 5.3 has an answerer do."""
    answered = answered or ("passive" if offered == "active" else "active")
    # RFC 4145 section 4.1, the table of answers: what is no "actpass" is answered by its opposite.
    if answered not in _ROLES or answered == offered:
        raise NegotiationError(f"setup:{answered} does not answer setup:{offered}")
    return "server" if answered == "active" else "client"


def _answered_crypto(peer: Peer, local: LocalMedia) -> tuple[CryptoAttribute, CryptoAttribute]:
    """The peer's line and ours. RFC 4568 section 5.1.3: the answer has one line, with tag and suite of one offered."""
    if len(peer.crypto) == 1:
        theirs = peer.crypto[0]
        for ours in local.crypto:
            if (ours.tag, ours.suite) == (theirs.tag, theirs.suite):
                return theirs, ours
    raise NegotiationError("the answer's a=crypto is none of those offered")


def _negotiated(
    local: LocalMedia,
    peer: Peer,
    codecs: tuple[Codec, ...],
    events: tuple[Codec, ...],
    receive: dict[int, Codec],
    role: str | None,
    crypto: tuple[CryptoAttribute, CryptoAttribute] | None,
) -> Negotiated:
    rate = codecs[0].clock_rate
    return Negotiated(
        profile=local.profile,
        codecs=codecs,
        receive_payload_types=receive,
        dtmf=min(
            (event for event in events if event.name == TELEPHONE_EVENT),
            key=lambda event: (event.clock_rate != rate, event.clock_rate),
            default=None,
        ),
        direction=peer.direction.answered_by(Direction(local.direction)).value,
        remote_address=peer.address,
        remote_rtcp=peer.rtcp,
        rtcp_mux=peer.rtcp_mux,
        ice=peer.ice,
        fingerprints=peer.fingerprints,
        dtls_role=role,
        remote_crypto=crypto[0] if crypto is not None else None,
        local_crypto=crypto[1] if crypto is not None else None,
        ptime=peer.ptime,
        voip_metrics=peer.voip_metrics,
    )
