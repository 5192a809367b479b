"""What the server makes of access tokens: one fault a row, each with its code; PyJWT signs, and knows nothing of us."""

import random
from typing import Any

import jwt
import pytest

from sansio_sip.auth import ERROR_HEADER, TOKEN_HEADER
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.server import ServerOptions
from sansio_sip.server.access_tokens import AccessTokens
from sansio_sip.server.authenticator import Authenticator
from sansio_sip.server.router import Refusal
from sansio_sip.sip.message import Headers, Request
from sansio_sip.sip.uri import SipUri

KEY = "k" * 40
NOW, OFFSET = 100.0, 1_700_000_000.0
VOICE = {"incoming_allow": True, "outgoing_allow": True}
CLAIMS = {"iss": "MA1", "sub": "alice", "nbf": NOW + OFFSET - 10, "exp": NOW + OFFSET + 3600, "per": {"voice": VOICE}}


def signed(key: str = KEY, algorithm: str = "HS256", **change: Any) -> str:
    return jwt.encode({**CLAIMS, **change}, key, algorithm=algorithm, headers={"cty": "plivo;v=1"})


def context() -> Context:
    return Context(Entropy(random.Random(1)), unix_offset=OFFSET)


OPTIONS = ServerOptions(token_issuers={"MA1": Secret(KEY)})


def request(token: str, method: str = "REGISTER") -> Request:
    return Request(method, SipUri("localhost"), Headers([(TOKEN_HEADER, token)]))


def tampered() -> str:
    """Claims of somebody else under a signature that is not his."""
    head, _, signature = signed().split(".")
    return f"{head}.{signed(sub='bob').split('.')[1]}.{signature}"


ROWS = [
    (signed(), 0),
    ("no token at all", 10001),
    ("a.b.c", 10001),
    (signed(algorithm="HS384", key="k" * 48), 10002),
    (jwt.encode(CLAIMS, "", algorithm="none"), 10002),
    (signed(iss="MA2"), 10003),
    (signed(sub="alice@home"), 10004),
    (signed(nbf=NOW + OFFSET + 1), 10005),
    (signed(exp=NOW + OFFSET), 10006),
    (signed(key="x" * 40), 10007),
    (tampered(), 10007),
    (signed(per={}), 10008),
    (signed(per={"voice": {"incoming_allow": False, "outgoing_allow": False}}), 10008),
    (signed(exp=NOW + OFFSET + 90_000), 10009),
]


@pytest.mark.parametrize(("token", "code"), ROWS, ids=[f"{code}-{number}" for number, (_, code) in enumerate(ROWS)])
def test_M04_each_fault_has_its_code(token: str, code: int) -> None:
    verdict = AccessTokens(context(), OPTIONS).check(request(token), now=NOW)
    assert verdict is not None
    assert verdict.code == code
    outcome = Authenticator(context(), OPTIONS).check_token(request(token), now=NOW)
    assert isinstance(outcome, Refusal) == bool(code)
    if isinstance(outcome, Refusal):
        assert outcome.headers == ((ERROR_HEADER, str(code)),)


def test_a_call_needs_the_outgoing_grant() -> None:
    token = signed(per={"voice": {"incoming_allow": True, "outgoing_allow": False}})
    authenticator = Authenticator(context(), OPTIONS)
    assert not isinstance(authenticator.check_token(request(token), now=NOW), Refusal)
    refused = authenticator.check_token(request(token, "INVITE"), now=NOW)
    assert isinstance(refused, Refusal)
    assert refused.headers == ((ERROR_HEADER, "10008"),)


def test_without_issuers_tokens_say_nothing() -> None:
    assert Authenticator(context(), ServerOptions()).check_token(request(signed()), now=NOW) is None


@pytest.mark.parametrize(
    "change", [{"token_issuers": {"MA1": Secret("short")}}, {"feature_flags": ("a,b",)}, {"max_logins": 0}], ids=str
)
def test_bad_options_name_their_field(change: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        ServerOptions(**change)
