"""The scenario table (corpus/08-scenarios): rows about descriptions. Each test bears the id of its row."""

import pytest

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.sdp.negotiation import LocalMedia, NegotiationError
from sansio_sip.sdp.offer_answer import OfferAnswer
from sansio_sip.sdp.parser import parse_description

LOCAL = LocalMedia("rtp", Address("192.0.2.1", 4000), ("opus", "pcmu", "pcma"))
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"


def test_uac_07_answer_that_lists_several_codecs_is_one_codec() -> None:
    session = OfferAnswer(1)
    session.create_offer(LOCAL)
    answer = parse_description(f"{HEAD}m=audio 4000 RTP/AVP 8 0\r\n".encode())
    negotiated = session.accept_answer(answer)
    assert negotiated.codecs[0].name == "pcma"


@pytest.mark.parametrize(
    "text",
    [
        "v=0\r\no=- 1 1 IN IP4\r\n",
        HEAD.replace("c=IN IP4 192.0.2.2", "c=XX IP4 192.0.2.2") + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD.replace("c=IN IP4 192.0.2.2", "c=IN IP9 192.0.2.2") + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD + "m=audio 4000 XYZ/ABC 0\r\n",
    ],
)
def test_uas_11_broken_descriptions_are_refused(text: str) -> None:
    with pytest.raises((ParseError, NegotiationError)):
        OfferAnswer(1).accept_offer(parse_description(text.encode()), LOCAL)


@pytest.mark.parametrize("media", ["m=video 4000 RTP/AVP 31\r\n", "", "m=audio 4000 RTP/AVP 18\r\n"])
def test_uas_12_nothing_that_suits_is_488(media: str) -> None:
    with pytest.raises(NegotiationError) as caught:
        OfferAnswer(1).accept_offer(parse_description((HEAD + media).encode()), LOCAL)
    assert caught.value.status == 488
