"""What a client reads of an access token, and the words for what a server says of it."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.auth import TOKEN_ERRORS, AccessToken, error_string, parse_access_token, parse_expiry
from sansio_sip.errors import ParseError

CLAIMS = {
    "iss": "MAXXX",
    "sub": "alice",
    "nbf": 1_700_000_000,
    "exp": 1_700_003_600,
    "per": {"voice": {"incoming_allow": True, "outgoing_allow": False}},
}


def token(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2lnbmF0dXJl"


def test_claims_are_read() -> None:
    assert parse_access_token(token(CLAIMS)) == AccessToken(
        "MAXXX", 1_700_000_000.0, 1_700_003_600.0, "alice", "", True, False
    )


def test_user_name_is_of_subject_or_of_time() -> None:
    assert parse_access_token(token(CLAIMS)).username(5.0) == "alice_MAXXX"
    assert parse_access_token(token({**CLAIMS, "sub": ""})).username(1.5) == "puser1500jt_MAXXX"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": ""}, {"iss": 7}, {"nbf": 0}, {"nbf": "soon"}, {"exp": None}, {"exp": True}, {"sub": 7}, {"app": []},
        {"per": []}, {"per": {"voice": 1}}, {"per": {"voice": {"outgoing_allow": "yes"}}}, {"exp": 1e300},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_claim_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ParseError):
        parse_access_token(token({**CLAIMS, **change}))


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c", "a..c", "a b.c.d", token([]), "x" * 9000, "a." + "W1" * 2000 + ".c"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_access_token(text)


@given(st.text() | st.binary().map(lambda raw: f"a.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}.b"))
def test_any_text_is_a_token_or_a_parse_error(text: str) -> None:
    with suppress(ParseError):
        parse_access_token(text)


def test_M38_error_strings() -> None:
    assert [error_string(code) for code in range(10001, 10011)] == list(TOKEN_ERRORS.values())
    assert len(set(TOKEN_ERRORS.values())) == 10
    assert error_string(10011) == error_string(0) == "Unauthorised"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("exp=1700000000;foo=1", 1700000000), (" exp = 17", 17), ("exp=", None), ("x", None), ("exp=1x", None)],
)
def test_expiry_in_a_response(value: str, expected: int | None) -> None:
    assert parse_expiry(value) == expected
