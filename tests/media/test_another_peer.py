"""The far end is replaced in the middle of a call: other ICE credentials, another certificate, another address."""

import random

import pytest
from engines.wire import RATE, End, S, Wire, noise, options, talk

from sansio_sip.context import Context, Entropy
from sansio_sip.sdp.parser import parse_description
from sansio_sip.softphone.media_plane import LocalDescription, MediaConnected, MediaFailed, MediaProfile
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.likeness import likeness
from sansio_sip_media.seeded_crypto import SeededCrypto


def last_description(end: End) -> bytes:
    return bytes(end.heard(LocalDescription)[-1].description)


def replace_far_end(wire: Wire, profile: MediaProfile) -> End:
    """As a switchboard does that connects the call to somebody else; the one before goes without a word."""
    newcomer = End("c", MediaEngine(Context(Entropy(random.Random("c"))), SeededCrypto("c")), "10.0.0.3")
    wire.ends[1] = newcomer
    wire.do(newcomer, newcomer.engine.open_session, S, options(profile, "pcmu"))
    return newcomer


@pytest.mark.parametrize("offers", ["newcomer", "ours"])
@pytest.mark.parametrize("profile", MediaProfile, ids=lambda profile: profile.value)
def test_another_peer_is_heard_and_hears(profile: MediaProfile, offers: str) -> None:
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    wire.negotiate()
    wire.run(1.0)
    a = wire.ends[0]
    newcomer = replace_far_end(wire, profile)
    if offers == "ours":
        wire.negotiate()
    else:
        wire.do(newcomer, newcomer.engine.create_offer, S)
        wire.do(a, a.engine.apply_offer, S, parse_description(last_description(newcomer)))
        wire.do(newcomer, newcomer.engine.apply_answer, S, parse_description(last_description(a)))
    wire.run(2.0)
    assert not a.heard(MediaFailed)
    assert newcomer.heard(MediaConnected)
    heard = talk(wire)
    for index in range(2):
        assert likeness(noise(1 - index), heard[index], RATE).median > 0.9


def test_a_certificate_that_was_not_announced_ends_the_way() -> None:
    """The fingerprint in the description is of somebody else than who answers DTLS."""
    profile = MediaProfile.WEBRTC
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    a, b = wire.ends
    wire.do(a, a.engine.create_offer, S)
    wire.do(b, b.engine.apply_offer, S, parse_description(last_description(a)))
    answer = last_description(b)
    stranger = SeededCrypto("stranger").certificate_fingerprint
    lines = [
        f"a=fingerprint:{stranger}".encode() if line.startswith(b"a=fingerprint:") else line
        for line in answer.split(b"\r\n")
    ]
    wire.do(a, a.engine.apply_answer, S, parse_description(b"\r\n".join(lines)))
    wire.run(5.0)
    (failed,) = a.heard(MediaFailed)
    assert "certificate" in failed.reason
    assert not a.heard(MediaConnected)
