"""Digest authentication: published vectors, the client's choices, what a server takes and what it does not."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import require_shared, shared_dir

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.digest import (
    ALGORITHMS,
    MAX_NONCES,
    MAX_STALE,
    DigestClient,
    DigestServer,
    Outcome,
    Verification,
    digest_response,
    hash_a1,
)
from sansio_sip.sip.headers import Challenge, Credentials
from sansio_sip.sip.parameters import with_parameter


def _vectors() -> list[dict[str, Any]]:
    root = shared_dir()
    if root is None:
        return []
    rows: list[dict[str, Any]] = json.loads((root / "corpus/05-digest/vectors.json").read_text())
    return rows


def context(seed: int = 1) -> Context:
    return Context(Entropy(random.Random(seed)))


@pytest.mark.parametrize("row", _vectors(), ids=lambda row: row["id"])
def test_published_vectors(row: dict[str, Any]) -> None:
    algorithm = row.get("algorithm", "MD5")
    if row.get("ha1"):
        a1 = row["ha1"]
    else:
        a1 = hash_a1(algorithm, row["username"], row["realm"], row["password"])
    response = digest_response(
        algorithm,
        a1,
        row["method"],
        row["uri"],
        row["nonce"],
        qop=row.get("qop"),
        nc=row.get("nc", ""),
        cnonce=row.get("cnonce", ""),
        body=row.get("body", "").encode(),
    )
    # The example of RFC 7616 section 3.9.2 is SHA-512 cut short; the corpus has the value of the true SHA-512/256.
    assert response == row.get("computed_here", row["response"])


def test_sha_512_256_is_the_one_of_fips_180_4() -> None:
    row = next((row for row in _vectors() if row["id"] == "rfc7616-3.9.2-sha512-256"), None)
    if row is None:
        require_shared("corpus/05-digest/vectors.json")
    a1 = hash_a1("SHA-512-256", "Jäsøn Doe", "api@example.org", "Secret, or not?")
    assert (
        digest_response(
            "SHA-512-256",
            a1,
            "GET",
            "/doe.json",
            "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            qop="auth",
            nc="00000001",
            cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        )
        == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    )


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name.endswith("-sess")])
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_session_algorithms_depend_on_both_nonces(algorithm: str, qop: str) -> None:
    a1 = hash_a1(algorithm, "bob", "biloxi.com", "zanzibar")

    def response(nonce: str, cnonce: str) -> str:
        return digest_response(algorithm, a1, "INVITE", "sip:x", nonce, qop=qop, nc="00000001", cnonce=cnonce, body=b"")

    assert len({response("1", "1"), response("1", "2"), response("2", "1")}) == 3


# ------------------------------------------------------------------------------------------------------------- client


def client(seed: int = 1) -> DigestClient:
    return DigestClient(context(seed), "bob", Secret("zanzibar"))


def challenge(**parameters: str) -> Challenge:
    rows = {"realm": "biloxi.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093", "qop": "auth", "algorithm": "MD5"}
    rows |= parameters
    return Challenge("Digest", tuple((name, value) for name, value in rows.items() if value))


def test_the_example_of_rfc_3665_shape() -> None:
    answerer = client()
    assert not answerer.ready
    with pytest.raises(LocalProtocolError, match="no challenge"):
        answerer.authorization("REGISTER", "sip:biloxi.com")
    assert answerer.challenged([challenge(opaque="5ccc069c403ebaf9f0171e9517f40e41")])
    assert answerer.ready
    assert answerer.realm == "biloxi.com"
    value = answerer.authorization("REGISTER", "sip:biloxi.com")
    credentials = Credentials.parse(value)
    assert [name for name, _ in credentials.parameters] == [
        *("username", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "opaque", "qop", "nc")
    ]
    assert "nc=00000001" in value
    assert "qop=auth," in value
    assert "algorithm=MD5" in value
    assert credentials.parameter("response") == digest_response(
        "MD5",
        hash_a1("MD5", "bob", "biloxi.com", "zanzibar"),
        "REGISTER",
        "sip:biloxi.com",
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        qop="auth",
        nc="00000001",
        cnonce=credentials.parameter("cnonce") or "",
    )
    assert "zanzibar" not in repr(answerer) + value


def test_the_nonce_count_rises() -> None:
    answerer = client()
    answerer.challenged([challenge()])
    counts = [Credentials.parse(answerer.authorization("INVITE", "sip:x")).parameter("nc") for _ in range(17)]
    assert counts == [f"{count:08x}" for count in range(1, 18)]


def test_a_new_nonce_starts_the_count_anew_with_another_cnonce() -> None:
    answerer = client()
    answerer.challenged([challenge()])
    first = Credentials.parse(answerer.authorization("INVITE", "sip:x"))
    assert answerer.challenged([challenge(nonce="other", stale="TRUE")], sent=first)
    second = Credentials.parse(answerer.authorization("INVITE", "sip:x"))
    assert second.parameter("nc") == "00000001"
    assert second.parameter("cnonce") != first.parameter("cnonce")


def test_without_qop_there_is_no_count_and_no_cnonce() -> None:
    answerer = client()
    assert answerer.challenged([challenge(qop="", algorithm="")])
    credentials = Credentials.parse(answerer.authorization("REGISTER", "sip:biloxi.com"))
    assert [name for name, _ in credentials.parameters] == ["username", "realm", "nonce", "uri", "response"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["SHA-256", "MD5"], "SHA-256"),  # RFC 8760 sections 2.3 and 2.4: the topmost
        (["MD5", "SHA-256"], "SHA-256"),  # MD5 only if nothing better is offered
        (["MD5", "SHA-512-256", "SHA-256"], "SHA-512-256"),
        (["UNKNOWN", "MD5"], "MD5"),
        (["md5"], "MD5"),
        (["MD5-sess"], "MD5-sess"),
    ],
)
def test_the_strongest_algorithm_is_chosen(offered: list[str], chosen: str) -> None:
    answerer = client()
    assert answerer.challenged([challenge(algorithm=name) for name in offered])
    assert Credentials.parse(answerer.authorization("INVITE", "sip:x")).parameter("algorithm") == chosen


@pytest.mark.parametrize(
    ("qop", "chosen"),
    [("auth", "auth"), ("auth,auth-int", "auth"), ("auth-int", "auth-int"), ("AUTH,autH-INt", "auth")],
)
def test_the_quality_of_protection(qop: str, chosen: str) -> None:
    answerer = client()
    assert answerer.challenged([challenge(qop=qop)])
    assert Credentials.parse(answerer.authorization("INVITE", "sip:x", b"body")).parameter("qop") == chosen


@pytest.mark.parametrize(
    "useless",
    [
        Challenge("Basic", (("realm", "x"),)),
        Challenge("Digest", (("realm", "x"),)),
        Challenge("Digest", (("nonce", "x"),)),
        challenge(algorithm="SHA-1"),
        challenge(qop="auth-conf"),
    ],
)
def test_challenges_that_cannot_be_answered(useless: Challenge) -> None:
    answerer = client()
    assert not answerer.challenged([useless])
    assert not answerer.ready


def test_a_wrong_password_is_tried_once() -> None:
    answerer = client()
    assert answerer.challenged([challenge(nonce="1")])
    sent = Credentials.parse(answerer.authorization("REGISTER", "sip:biloxi.com"))
    assert not answerer.challenged([challenge(nonce="2")], sent=sent)


def test_credentials_sent_unasked_may_be_refused_once_for_their_nonce() -> None:
    """A nonce of an earlier request that has run out, at a server that does not say `stale`."""
    answerer = client()
    answerer.challenged([challenge(nonce="1")])
    answerer.authorization("REGISTER", "sip:biloxi.com")
    sent = Credentials.parse(answerer.authorization("REGISTER", "sip:biloxi.com"))
    assert not answerer.challenged([challenge(nonce="1")], sent=sent)
    assert answerer.challenged([challenge(nonce="2")], sent=sent)
    again = Credentials.parse(answerer.authorization("REGISTER", "sip:biloxi.com"))
    assert not answerer.challenged([challenge(nonce="3")], sent=again)


def test_a_server_that_calls_each_nonce_stale_is_given_up() -> None:
    answerer = client()
    answerer.challenged([challenge(nonce="0")])
    tries = 0
    while tries < 100:
        sent = Credentials.parse(answerer.authorization("REGISTER", "sip:biloxi.com"))
        if not answerer.challenged([challenge(nonce=str(tries + 1), stale="true")], sent=sent):
            break
        tries += 1
    assert tries == MAX_STALE


# ------------------------------------------------------------------------------------------------------------- server

USERS = {"bob": Secret("zanzibar"), "jäsøn": Secret("ünì")}


def answer(server: DigestServer, user: str = "bob", password: str = "zanzibar", *, now: float = 0.0) -> Credentials:
    answerer = DigestClient(context(7), user, Secret(password))
    assert answerer.challenged(server.challenges(now=now))
    return Credentials.parse(answerer.authorization("REGISTER", "sip:biloxi.com", b"x"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_is_accepted_by_our_server_over_the_wire(algorithm: str) -> None:
    server = DigestServer(context(), "biloxi.com", [algorithm])
    credentials = answer(server)
    assert credentials.parameter("algorithm") == algorithm
    assert server.verify(credentials, "REGISTER", USERS, b"x", now=1.0) == Verification(Outcome.ACCEPTED, "bob")


def test_challenges_are_offered_in_order_of_preference() -> None:
    rows = DigestServer(context(), "biloxi.com").challenges(stale=True, now=0.0)
    assert [row.parameter("algorithm") for row in rows] == ["SHA-256", "MD5"]
    nonce = rows[0].parameter("nonce")
    assert str(rows[1]) == (
        f'Digest realm="biloxi.com", nonce="{nonce}", stale=true, qop="auth,auth-int", algorithm=MD5'
    )
    assert [Challenge.parse(str(row)) for row in rows] == list(rows)


def test_names_and_passwords_beyond_ascii() -> None:
    server = DigestServer(context(), "biloxi.com")
    assert server.verify(answer(server, "jäsøn", "ünì"), "REGISTER", USERS, now=0.0).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("user", "password", "method", "changes"),
    [
        ("bob", "wrong", "REGISTER", {}),
        ("eve", "zanzibar", "REGISTER", {}),
        ("eve", "", "REGISTER", {}),
        ("bob", "zanzibar", "INVITE", {}),
        ("bob", "zanzibar", "REGISTER", {"uri": "sip:elsewhere"}),
        ("bob", "zanzibar", "REGISTER", {"realm": "atlanta.com"}),
        ("bob", "zanzibar", "REGISTER", {"nc": "00000002"}),
        ("bob", "zanzibar", "REGISTER", {"nc": "x"}),
        ("bob", "zanzibar", "REGISTER", {"nc": "1" * 20}),
        ("bob", "zanzibar", "REGISTER", {"cnonce": "other"}),
        ("bob", "zanzibar", "REGISTER", {"qop": "auth-int"}),
        ("bob", "zanzibar", "REGISTER", {"qop": "auth-conf"}),
        ("bob", "zanzibar", "REGISTER", {"algorithm": "SHA-512-256"}),
        ("bob", "zanzibar", "REGISTER", {"response": "0" * 64}),
        ("bob", "zanzibar", "REGISTER", {"response": "é"}),
        ("bob", "zanzibar", "REGISTER", {"username": ""}),
    ],
)
def test_what_is_refused(user: str, password: str, method: str, changes: dict[str, str]) -> None:
    server = DigestServer(context(), "biloxi.com")
    credentials = answer(server, user, password)
    for name, value in changes.items():
        credentials = Credentials("Digest", with_parameter(credentials.parameters, name, value))
    assert server.verify(credentials, method, USERS, b"x", now=1.0).outcome is Outcome.REFUSED


def test_missing_parameters_are_refused() -> None:
    server = DigestServer(context(), "biloxi.com")
    whole = answer(server)
    for missing in ("username", "realm", "nonce", "uri", "response"):
        rest = tuple(row for row in whole.parameters if row[0] != missing)
        assert server.verify(Credentials("Digest", rest), "REGISTER", USERS, now=0.0).outcome is Outcome.REFUSED
    assert server.verify(Credentials("Basic", whole.parameters), "REGISTER", USERS, now=0.0).outcome is Outcome.REFUSED


def test_a_count_is_good_once_and_in_any_order_within_the_window() -> None:
    server = DigestServer(context(), "biloxi.com")
    answerer = DigestClient(context(7), "bob", Secret("zanzibar"))
    answerer.challenged(server.challenges(now=0.0))
    sent = [Credentials.parse(answerer.authorization("INVITE", "sip:x")) for _ in range(100)]

    def outcome(index: int) -> Outcome:
        return server.verify(sent[index], "INVITE", USERS, now=1.0).outcome

    assert outcome(2) is Outcome.ACCEPTED
    assert outcome(0) is Outcome.ACCEPTED
    assert outcome(0) is Outcome.STALE
    assert outcome(2) is Outcome.STALE
    assert outcome(99) is Outcome.ACCEPTED
    assert outcome(50) is Outcome.ACCEPTED
    assert outcome(50) is Outcome.STALE
    assert outcome(3) is Outcome.STALE


def test_an_old_nonce_is_stale_but_a_wrong_answer_to_it_is_refused() -> None:
    server = DigestServer(context(), "biloxi.com", nonce_lifetime=10.0)
    late, wrong = answer(server), answer(server, password="wrong")
    assert server.verify(late, "REGISTER", USERS, now=10.0).outcome is Outcome.STALE
    assert server.verify(wrong, "REGISTER", USERS, now=10.0).outcome is Outcome.REFUSED
    stranger = DigestServer(context(2), "biloxi.com")
    assert stranger.verify(late, "REGISTER", USERS, now=0.0).outcome is Outcome.STALE


def test_without_qop_a_nonce_is_good_once() -> None:
    server = DigestServer(context(), "biloxi.com", ["MD5"])
    (row,) = server.challenges(now=0.0)
    answerer = client()
    answerer.challenged([Challenge("Digest", tuple(pair for pair in row.parameters if pair[0] != "qop"))])
    credentials = Credentials.parse(answerer.authorization("REGISTER", "sip:biloxi.com"))
    outcomes = [server.verify(credentials, "REGISTER", USERS, now=0.0).outcome for _ in range(2)]
    assert outcomes == [Outcome.ACCEPTED, Outcome.STALE]


def test_nonces_are_bounded() -> None:
    server = DigestServer(context(), "biloxi.com")
    first = answer(server)
    for _ in range(MAX_NONCES):
        server.challenges(now=0.0)
    assert server.verify(first, "REGISTER", USERS, now=0.0).outcome is Outcome.STALE


@settings(max_examples=40)
@given(
    st.sampled_from(ALGORITHMS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=10),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=10),
    st.booleans(),
)
def test_any_name_password_and_realm(algorithm: str, user: str, password: str, realm: str, right: bool) -> None:
    server = DigestServer(context(), realm, [algorithm])
    answerer = DigestClient(context(7), user, Secret(password if right else password + "x"))
    challenges = [Challenge.parse(str(row)) for row in server.challenges(now=0.0)]
    assert answerer.challenged(challenges)
    credentials = Credentials.parse(answerer.authorization("INVITE", "sip:x"))
    outcome = server.verify(credentials, "INVITE", {user: Secret(password)}, now=0.0).outcome
    assert outcome is (Outcome.ACCEPTED if right else Outcome.REFUSED)


def test_the_oracle_is_asked_without_the_password() -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []

    class Recorder:
        def consult(self, name: str, compute: Any, *inputs: object, disclosure: Any = None) -> Any:
            asked.append((name, inputs))
            return "00" * 16

    answerer = DigestClient(Context(Entropy(random.Random(1)), Recorder()), "bob", Secret("zanzibar"))
    answerer.challenged([challenge()])
    value = answerer.authorization("INVITE", "sip:x", b"private")
    assert 'response="00000000000000000000000000000000"' in value
    assert [name for name, _ in asked] == ["digest_response"]
    assert "zanzibar" not in str(asked)
    assert b"private" not in asked[0][1]
