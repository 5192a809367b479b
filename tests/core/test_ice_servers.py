"""URLs of STUN and TURN servers (RFC 7064, RFC 7065)."""

from typing import Literal

import pytest

from sansio_sip.context import Secret
from sansio_sip.errors import ParseError
from sansio_sip.softphone.ice_servers import IceServerUrl, TurnAccount
from sansio_sip.softphone.options import AccountOptions


@pytest.mark.parametrize(
    ("text", "scheme", "expected"),
    [
        ("stun:stun.example.com", "stun", ("stun", "stun.example.com", 3478, "udp")),
        ("stun:[2001:db8::1]:19302", "stun", ("stun", "2001:db8::1", 19302, "udp")),
        ("turn:192.0.2.1", "turn", ("turn", "192.0.2.1", 3478, "udp")),
        ("TURN:example.com:80?transport=UDP", "turn", ("turn", "example.com", 80, "udp")),
        ("turn:example.com:443?transport=tcp", "turn", ("turn", "example.com", 443, "tcp")),
        ("turns:example.com", "turn", ("turns", "example.com", 5349, "tls")),
        ("turns:example.com:443?transport=tcp", "turn", ("turns", "example.com", 443, "tls")),
    ],
)
def test_what_a_url_names(
    text: str, scheme: Literal["stun", "turn"], expected: tuple[str, str, int, Literal["udp", "tcp", "tls"]]
) -> None:
    url = IceServerUrl.parse(text, scheme)
    assert url == IceServerUrl(*expected)
    assert IceServerUrl.parse(str(url), scheme) == url


@pytest.mark.parametrize(
    ("text", "scheme", "reason"),
    [
        ("stuns:example.com", "stun", "not stun:host:port"),
        ("turn:example.com", "stun", "not stun:host:port"),
        ("stun:example.com", "turn", "not turn:host:port"),
        ("stun:example.com?transport=udp", "stun", "?transport=udp is not allowed there"),
        ("turns:example.com?transport=udp", "turn", "?transport=udp is not ?transport=tcp"),
        ("turn:example.com?transport=sctp", "turn", "?transport=sctp is not ?transport=udp or ?transport=tcp"),
        ("turn:example.com?", "turn", "? is not ?transport=udp or ?transport=tcp"),
        ("turn:example.com:0", "turn", "the port is not one of 1 to 65535"),
        ("turn://example.com", "turn", "not turn:host:port"),
        ("turn:user@example.com", "turn", "not turn:host:port"),
    ],
)
def test_what_is_no_such_url(text: str, scheme: Literal["stun", "turn"], reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        IceServerUrl.parse(text, scheme)
    assert caught.value.reason == reason


def test_an_account_says_which_urls_it_takes() -> None:
    turn = TurnAccount("turns:example.com?transport=udp", "me", Secret("x"))
    with pytest.raises(ValueError, match=r"turn_servers holds .* allowed are turn:host:port, with \?transport=tcp"):
        AccountOptions("sip:alice@example.com", turn_servers=(turn,))
