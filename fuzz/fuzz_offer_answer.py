"""Whatever descriptions come in whatever order, a session refuses each with an error of its own, or goes on.

Pieces between NUL octets are offers and answers in turn; ours go in between. Versions of ours never fall.
"""

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.sdp.offer_answer import LocalMedia, NegotiationError, OfferAnswer, State
from sansio_sip.sdp.parser import parse_description

FINGERPRINT = Fingerprint("sha-256", ":".join(["00"] * 32))
OURS = tuple(
    LocalMedia(profile, Address("192.0.2.1", 4000), ice_ufrag="ufrag", ice_pwd="p" * 22, fingerprint=FINGERPRINT)
    for profile in ("rtp", "webrtc")
)


def one(data: bytes) -> None:
    session, version = OfferAnswer(1), 0
    for piece in data.split(b"\0")[:8]:
        local = OURS[len(piece) % 2]
        try:
            if len(piece) % 3 == 0 and session.state is State.STABLE:
                session.create_offer(local)
            description = parse_description(piece)
            if session.state is State.HAVE_LOCAL_OFFER:
                session.accept_answer(description)
                continue
            answer, _ = session.accept_offer(description, local)
            assert len(answer.media) == len(description.media)
            assert answer.origin.session_version >= version
            version = answer.origin.session_version
        except (ParseError, NegotiationError, LocalProtocolError):  # the only exceptions allowed
            if session.state is not State.STABLE:
                session.rollback()
