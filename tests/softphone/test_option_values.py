"""Each option refuses what it cannot be, by its name and with what is allowed; the edge of what is allowed is taken."""

from typing import Any

import pytest

from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip.softphone.ice_servers import TurnAccount
from sansio_sip.softphone.options import AccountOptions, Options, SoftphoneOptions

SERVED: dict[str, Any] = {"servers": ("udp://192.0.2.9",)}
TURN = TurnAccount("turn:192.0.2.9:3478", "a", Secret("b"))


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        ("close_timeout", 0, 60.0),
        ("close_timeout", 60.1, 0.1),
        ("max_calls", 0, 1),
    ],
)
def test_options_of_a_phone(field: str, bad: Any, good: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{field} is {bad!r}: allowed "):
        SoftphoneOptions(**{field: bad})
    assert getattr(SoftphoneOptions(**{field: good}), field) == good


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        ("address", "tel:+1", "sips:alice@example.com"),
        ("address", "sip:example.com", "alice@example.com"),
        ("address", "sip:a b@c", "a@c"),
        ("gruu", "some", "temporary"),
        ("digest_algorithms", (), ("SHA-256",)),
        ("digest_algorithms", ("ROT13",), ("MD5", "SHA-256")),
        ("reconnect", (0.0, 1.0), (0.1, 0.1)),
        ("reconnect", (2.0, 1.0), (1.0, 86_400.0)),
        ("reregister", (1.0, 86_401.0), (1.0, 2.0)),
        ("client_region", "Atlantis", None),
        ("reliability", "always", "required"),
        ("session_expires", 1, 0),
        ("session_expires", 10**9, 1800),
        ("expires", 0, 120),
        ("expires", 10**9, 3600),
        ("flows", 0, 1),
        ("flows", 9, 4),
        ("login_timeout", 0.0, 120.0),
        ("login_timeout", 121.0, 1.0),
        ("recovery_timeout", 0.5, 1.0),
        ("recovery_timeout", 601.0, 600.0),
        ("profiles", (), None),
        ("codecs", (), ("pcma",)),
        ("codecs", ("mp3",), ("opus",)),
        ("stun_servers", ("http://a",), ("stun:192.0.2.9",)),
        ("media_addresses", ("192.0.2.0/33",), ("192.0.2.0/24", "10.0.0.1")),
        ("relay_only", True, False),
        ("servers", ("ftp://a",), ("tls://a",)),
    ],
)
def test_options_of_an_account(field: str, bad: Any, good: Any) -> None:
    options: dict[str, Any] = {"address": "sip:alice@example.com", **SERVED}
    with pytest.raises(ValueError, match=rf"^{field} (is|holds) .*: allowed |^{field} is empty: allowed "):
        AccountOptions(**{**options, field: bad})
    if good is not None:
        assert getattr(AccountOptions(**{**options, field: good}), field) == good


@pytest.mark.parametrize("field", ["address", "username", "display_name", "servers", "realms", "ca_file"])
@pytest.mark.parametrize("breaks", ["\r", "\n", "\0"])
def test_no_text_of_an_account_ends_its_line(field: str, breaks: str) -> None:
    text: Any = f"a{breaks}b"
    value = (text,) if field in ("servers", "realms") else text
    with pytest.raises(ValueError, match=f"^{field} holds a line break or NUL"):
        AccountOptions(**{"address": "sip:alice@example.com", field: value})  # type: ignore[arg-type]


def test_a_relay_alone_needs_one_and_several_flows_need_a_server() -> None:
    assert AccountOptions("sip:a@b", relay_only=True, turn_servers=(TURN,), **SERVED).relay_only
    with pytest.raises(ValueError, match=r"^flows is 2: allowed are 1 to 4, and 1 without a server"):
        AccountOptions("sip:a@b", bind=Address("0.0.0.0", 5060), flows=2)


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        ("servers", (), ("wss://a",)),
        ("feedback_url", "ftp://a", "https://a/b"),
        ("enable_quality_tracking", "SOME", "NONE"),
        ("dtmf_options", (), ("INFO",)),
        ("dtmf_options", ("SMOKE",), ("INBAND",)),
        ("tone_country", "xx", "de"),
        ("debug", "LOUD", "OFF"),
        ("registration_refresh_timer", 59, 60),
        ("registration_refresh_timer", 86_401, 86_400),
        ("domain", "example.com:5060", "example.com"),
        ("domain", "example.com;a=b", "192.0.2.1"),
        ("domain", "a b", "[2001:db8::1]"),
    ],
)
def test_options_of_a_client(field: str, bad: Any, good: Any) -> None:
    options: dict[str, Any] = {"domain": "example.com", **SERVED}
    with pytest.raises(ValueError, match=rf"^{field} is .*: allowed "):
        Options(**{**options, field: bad})
    assert getattr(Options(**{**options, field: good}), field) == good
