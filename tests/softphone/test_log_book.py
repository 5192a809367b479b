"""The log of a client: who and which call in each line, its levels, its last lines, and nothing secret in any."""

import pytest
from softphone.phones import USERS, Scene

from sansio_sip.context import Secret
from sansio_sip.softphone import events
from sansio_sip.softphone.log_book import MAX_LINES, LogBook, redacted

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJNQSJ9.c2ln"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('Authorization: Digest username="a", response="0123456789abcdef"', 'username="a", response="***"'),
        (f"X-Plivo-Jwt: {TOKEN}", "X-Plivo-Jwt: ***"),
        ("X-Plivo-Jwt: exp=17;", "exp=17;"),
        (f"the token {TOKEN} is old", "the token eyJ*** is old"),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0", "inline:***"),
        ("a=ice-pwd:secret", "a=ice-pwd:***"),
        ("Signal=7\r\nDuration=100", "Signal=***\r\nDuration=100"),
        ("authorization: Basic c2VjcmV0", "authorization: Basic ***"),
    ],
)
def test_secrets_are_taken_out(text: str, kept: str) -> None:
    assert kept in redacted(text)
    assert "secret" not in redacted(text)
    assert "c2" not in redacted(text)


def test_the_last_900_lines_are_kept_whatever_the_level() -> None:
    book = LogBook(40, "tab")
    for number in range(1000):
        assert book.write(20, f"line {number}", user="alice", call="", unix_time=1_700_000_000.25) is None
    assert len(book.lines()) == MAX_LINES == 900
    assert book.lines()[-1] == "[2023-11-14 22:13:20.250] sansio_sip: alice [INFO] [tab] line 999"
    assert book.write(40, "bad", user="", call="c1", unix_time=0.0) == events.LogLine(40, "bad", "tab", "c1")


def test_M18_levels_and_the_trace_of_sip() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.set_debug("OFF")
    assert alice.login("alice", USERS["alice"])
    scene.wait(1.0)
    assert alice.logged() == []
    assert not alice.set_debug("loud")
    assert alice.set_debug("ALL")
    assert alice.logout()
    scene.wait(1.0)
    traced = [line for line in alice.events(events.LogLine) if line.level == 5]
    assert any("sent to TCP" in line.text and "REGISTER sip:" in line.text for line in traced)
    assert any("received from TCP" in line.text and "SIP/2.0 200" in line.text for line in traced)
    assert not any(USERS["alice"].reveal() in line or 'response="0' in line for line in alice.log_lines())
    assert 'response="***"' in "".join(alice.log_lines())


def test_M18_a_line_about_a_call_has_its_uuid() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", debug="DEBUG")
    assert alice.call("bob")
    scene.wait(1.0)
    (rings,) = bob.events(events.IncomingCall)
    assert bob.get_call_uuid() is None
    (line,) = [line for line in bob.events(events.LogLine) if line.text == "onIncomingCall"]
    assert line.call == rings.call
    assert any(f" {rings.call} [DEBUG]" in kept for kept in bob.log_lines())


def test_M34_the_identifier_is_in_each_line() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.identifier
    assert not alice.set_identifier("")
    assert not alice.set_identifier("a\r\nb")
    assert alice.set_identifier("tab-1")
    assert alice.login("alice", Secret("guess"))
    scene.wait(1.0)
    lines = alice.events(events.LogLine)[2:]
    assert lines
    assert {line.identifier for line in lines} == {"tab-1"}
    assert all("[tab-1]" in line for line in alice.log_lines()[2:])
    told = alice.events(events.LoginFailed, events.ConnectionChange)
    assert len(told) > 1
    assert {event.identifier for event in told} == {"tab-1"}
    assert all("identifier" not in event.as_dict() for event in told)
