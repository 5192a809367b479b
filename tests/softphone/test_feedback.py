"""Feedback: every rule in the reference's words, one POST, again until it has arrived; the HTTP exchange below it."""

from typing import Any

import pytest
from softphone.phones import ClientPhone, Scene
from softphone.web_server import WebServer

from sansio_sip.effects import Address
from sansio_sip.softphone import client_events, events
from sansio_sip.softphone.feedback import checked_feedback

WEB = "10.0.0.80"


def after_a_call(
    *answers: tuple[int, dict[str, str]], url: str = f"http://{WEB}/f"
) -> tuple[Scene, ClientPhone, WebServer]:
    scene = Scene()
    web = WebServer(Address(WEB, 80), *answers)
    scene.world.add("web", web, WEB)
    alice, _bob = scene.users("alice", "bob", feedback_url=url)
    assert alice.call("bob")
    scene.wait(1.0)
    assert alice.hangup()
    scene.wait(1.0)
    return scene, alice, web


def last_call(client: ClientPhone) -> str:
    return str(client.events(events.Calling)[-1].call)


RULES: list[tuple[tuple[Any, ...], str]] = [
    (("", "c", 4, ["ECHO"], None), "username not found"),
    (("a", "", 4, ["ECHO"], None), "callUUID is mandatory"),
    (("a", "c", None, ["ECHO"], None), "Star rating is Mandatory"),
    (("a", "c", 0, ["ECHO"], None), "Star rating is Mandatory"),
    (("a", "c", "0", ["ECHO"], None), "score should be from 1-5 range"),
    (("a", "c", 4.5, ["ECHO"], None), "score should be from 1-5 range"),
    (("a", "c", 6, ["ECHO"], None), "score should be from 1-5 range"),
    (("a", "c", float("nan"), ["ECHO"], None), "score should be from 1-5 range"),
    (("a", "c", "many", ["ECHO"], None), "score should be from 1-5 range"),
    (("a", "c", 4, ["ECHO"], "x" * 281), "Maximum length for note is 280 charecters"),
    (("a", "c", 4, "ECHO", None), "Attribute issues should be an array"),
    (("a", "c", 4, [], None), "Atleast one issue is mandatory for feedback"),
]


@pytest.mark.parametrize(("given", "reason"), RULES, ids=[reason for _, reason in RULES])
def test_M20_fault26_each_rule_has_the_words_of_the_reference(given: tuple[Any, ...], reason: str) -> None:
    assert checked_feedback(*given) == reason


def test_M20_unknown_issues_alone_are_refused() -> None:
    found = checked_feedback("a", "c", 4, ["COLOUR"], None)
    assert isinstance(found, str)
    assert found.startswith("Issues must be from the predefined list of issues - AUDIO_LAG,")
    assert not isinstance(checked_feedback("a", "c", 5, None, None), str)
    assert not isinstance(checked_feedback("a", "c", "4", [" echo ", "COLOUR", "CALL_DROPPPED"], None), str)


def test_M20_feedback_is_posted_with_the_log() -> None:
    scene, alice, web = after_a_call()
    number = alice.submit_call_quality_feedback(last_call(alice), 3, ["echo", "CALLERID_ISSUES"], "hollow", True)
    assert number == 1
    scene.wait(1.0)
    assert alice.events(client_events.FeedbackSent) == [client_events.FeedbackSent(1)]
    (body,) = web.bodies
    assert body["callUUID"] == last_call(alice)
    assert (body["overall"], body["issues"], body["note"]) == (3, ["echo", "callerid_issue"], "hollow")
    assert body["comment"] == "echo,callerid_issue hollow"
    assert any("onCalling" in line for line in body["log"])


def test_M20_fault26_a_call_that_never_was_is_refused() -> None:
    _scene, alice, web = after_a_call()
    assert alice.submit_call_quality_feedback("never", 3, ["ECHO"]) == 0
    assert "is of no call" in alice.events(client_events.FeedbackFailed)[0].reason
    assert not web.bodies


def test_M20_feedback_is_sent_again_until_it_has_arrived() -> None:
    scene, alice, web = after_a_call((503, {}), (500, {}), (200, {}))
    scene.world.cut(alice.name, "web")
    assert alice.submit_call_quality_feedback(last_call(alice), 5)
    scene.wait(60.0)
    assert not alice.events(client_events.FeedbackSent)
    scene.world.cut(alice.name, "web", cut=False)
    scene.wait(200.0)
    assert len(alice.events(client_events.FeedbackSent)) == 1
    assert len(web.bodies) == 3
    assert web.bodies[0]["note"] == ""


def test_M20_a_server_that_does_not_want_it_is_not_asked_again() -> None:
    scene, alice, web = after_a_call((400, {}))
    assert alice.submit_call_quality_feedback(last_call(alice), 5)
    scene.wait(300.0)
    (failed,) = alice.events(client_events.FeedbackFailed)
    assert (failed.reason, failed.retry_in) == ("the server answers 400", None)
    assert len(web.bodies) == 1


def test_redirections_are_followed_and_bounded() -> None:
    scene, alice, web = after_a_call((307, {"Location": "/elsewhere"}), (200, {}))
    assert alice.submit_call_quality_feedback(last_call(alice), 5)
    scene.wait(1.0)
    assert len(alice.events(client_events.FeedbackSent)) == 1
    assert len(web.bodies) == 2
    scene, alice, web = after_a_call((307, {"Location": "/round"}))
    assert alice.submit_call_quality_feedback(last_call(alice), 5)
    scene.wait(1.0)
    assert alice.events(client_events.FeedbackFailed)[0].reason == "over 5 redirections"
