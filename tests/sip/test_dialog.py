"""Dialogs by the letter of RFC 3261 section 12."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sansio_sip.errors import ParseError
from sansio_sip.sip.dialog import MAX_ROUTES, Dialog, DialogId, DialogState, is_readable
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.uri import parse_uri

ROUTES = ("<sip:p1.example.com;lr>", "<sip:p2.example.com;lr;x=1>", "<sip:p3.example.com;lr>")


def invite(*headers: tuple[str, str], to: str = "<sip:bob@example.com>") -> Request:
    return Request(
        "INVITE",
        parse_uri("sip:bob@example.com"),
        [
            ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
            ("From", '"Alice" <sip:alice@example.com>;tag=a'),
            ("To", to),
            ("Call-ID", "c"),
            ("CSeq", "7 INVITE"),
            *headers,
        ],
    )


def response(status: int, *headers: tuple[str, str], tag: str | None = "b") -> Response:
    return invite().response(status, to_tag=tag, headers=headers)


def as_caller(*headers: tuple[str, str], status: int = 200) -> Dialog:
    return Dialog.as_caller(invite(), response(status, ("Contact", "<sip:bob@192.0.2.2>"), *headers))


def test_section_12_1_2_the_caller() -> None:
    dialog = as_caller(("Record-Route", ", ".join(ROUTES[:2])), ("Record-Route", ROUTES[2]), status=180)
    assert dialog.id == DialogId("c", "a", "b")
    assert dialog.state is DialogState.EARLY
    # "in reverse order and preserving all URI parameters"
    assert [str(route) for route in dialog.route_set] == list(reversed(ROUTES))
    assert (str(dialog.remote_target), dialog.local_sequence, dialog.remote_sequence) == ("sip:bob@192.0.2.2", 7, None)


def test_section_12_1_1_the_callee() -> None:
    dialog = Dialog.as_callee(invite(("Record-Route", ", ".join(ROUTES)), ("Contact", "<sip:alice@192.0.2.1>")), "b")
    assert dialog.id == DialogId("c", "b", "a")
    # "taken in order and preserving all URI parameters"
    assert [str(route) for route in dialog.route_set] == list(ROUTES)
    assert (str(dialog.remote_target), dialog.local_sequence, dialog.remote_sequence) == ("sip:alice@192.0.2.1", 0, 7)


def test_section_12_2_1_1_requests() -> None:
    dialog = as_caller(("Record-Route", ", ".join(ROUTES[:2])))
    bye = dialog.request("BYE", (("X-A", "1"),))
    assert (bye.method, str(bye.uri), bye.cseq.number, bye.call_id) == ("BYE", "sip:bob@192.0.2.2", 8, "c")
    assert (bye.from_, bye.to) == (dialog.local, dialog.remote)
    assert [str(route) for route in bye.routes] == [ROUTES[1], ROUTES[0]]
    assert bye.headers.get("X-A") == "1"
    assert dialog.request("INFO").cseq.number == 9
    assert dialog.ack(7).cseq.number == 7


def test_strict_router_stands_in_the_request_uri() -> None:
    dialog = as_caller(("Record-Route", "<sip:p2.example.com;lr>, <sip:p1.example.com;method=BYE;x=1?a=b>"))
    bye = dialog.request("BYE")
    assert str(bye.uri) == "sip:p1.example.com;x=1"
    assert [str(route.uri) for route in bye.routes] == ["sip:p2.example.com;lr", "sip:bob@192.0.2.2"]


def test_2xx_sets_target_and_routes_anew() -> None:
    dialog = as_caller(("Record-Route", ROUTES[0]), status=183)
    dialog.confirm(response(200, ("Contact", "<sip:bob@192.0.2.3>"), ("Record-Route", ROUTES[2])))
    assert dialog.state is DialogState.CONFIRMED
    assert str(dialog.remote_target) == "sip:bob@192.0.2.3"
    assert [str(route) for route in dialog.route_set] == [ROUTES[2]]


def test_target_refresh_leaves_the_routes() -> None:
    dialog = as_caller(("Record-Route", ROUTES[0]))
    dialog.refresh_target(response(200, ("Contact", "<sip:bob@192.0.2.9>"), ("Record-Route", ROUTES[2])))
    assert str(dialog.remote_target) == "sip:bob@192.0.2.9"
    assert [str(route) for route in dialog.route_set] == [ROUTES[0]]
    dialog.refresh_target(response(200))
    dialog.refresh_target(response(200, ("Contact", "*")))
    assert str(dialog.remote_target) == "sip:bob@192.0.2.9"


def test_peer_without_a_tag() -> None:
    dialog = Dialog.as_caller(invite(), response(200, tag=None))
    assert dialog.id == DialogId("c", "a", "")
    assert dialog.request("BYE").to.tag is None


@pytest.mark.parametrize(
    "headers", [(("Contact", "<"),), (("Record-Route", "<"),), (("Record-Route", ROUTES[0]),) * (MAX_ROUTES + 1)]
)
def test_what_no_dialog_can_be_made_of(headers: tuple[tuple[str, str], ...]) -> None:
    assert not is_readable(response(200, *headers))
    with pytest.raises(ParseError):
        Dialog.as_caller(invite(), response(200, *headers))


@given(st.lists(st.integers(0, 2**31 - 1), max_size=20))
@settings(max_examples=100, deadline=None)
def test_peer_numbers_are_admitted_only_if_they_rise(numbers: list[int]) -> None:
    dialog = as_caller()
    highest: int | None = None
    for number in numbers:
        request = invite()
        request.headers.set("CSeq", f"{number} INFO")
        admitted = dialog.admit(request) == 0
        assert admitted == (highest is None or number > highest)
        highest = number if admitted else highest


class DialogMachine(RuleBasedStateMachine):
    """Whatever happens to a dialog, its identity stays, its own numbers strictly rise, and ACKs use up none."""

    def __init__(self) -> None:
        super().__init__()
        self.dialog = as_caller(("Record-Route", ROUTES[0]), status=180)
        self.id = self.dialog.id
        self.latest = 7

    @rule(method=st.sampled_from(("BYE", "INFO", "INVITE", "OPTIONS")))
    def request(self, method: str) -> None:
        request = self.dialog.request(method)
        assert request.cseq.number > self.latest
        self.latest = request.cseq.number
        again = self.dialog.again(request)
        assert again.cseq.number > self.latest
        self.latest = again.cseq.number

    @rule(number=st.integers(1, 9))
    def ack(self, number: int) -> None:
        assert self.dialog.ack(number).cseq.number == number

    @rule(number=st.integers(0, 20))
    def peer(self, number: int) -> None:
        request = invite(("Contact", f"<sip:bob@192.0.2.{number}>"))
        request.headers.set("CSeq", f"{number} INVITE")
        before = self.dialog.remote_sequence
        if self.dialog.admit(request) == 0:
            self.dialog.refresh_target(request)
            assert before is None or number > before
        else:
            assert self.dialog.remote_sequence == before

    @rule()
    def confirm(self) -> None:
        self.dialog.confirm(response(200, ("Contact", "<sip:bob@192.0.2.50>")))

    @invariant()
    def is_the_same_dialog(self) -> None:
        assert self.dialog.id == self.id
        assert self.dialog.local_sequence == self.latest


DialogMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestDialogMachine = DialogMachine.TestCase


# What others are told of a dialog


@pytest.mark.parametrize(
    ("contact", "has_server", "peer"),
    [
        ("<sip:bob@192.0.2.2>", True, "sip:bob@example.com"),
        ("<sip:bob@192.0.2.2?Subject=x>", False, "sip:bob@192.0.2.2"),
        ("<sip:bob@example.com;gr=urn:uuid:1?Subject=x>", True, "sip:bob@example.com;gr=urn:uuid:1"),
        ("<tel:+12015550123>", False, "sip:bob@example.com"),
    ],
)
def test_where_the_peer_is_for_somebody_else(contact: str, has_server: bool, peer: str) -> None:
    dialog = Dialog.as_caller(invite(), response(200, ("Contact", contact)))
    found = dialog.peer_uri(has_server=has_server)
    assert (str(found), found.headers if found is not None else None) == (peer, ())


def test_a_peer_without_a_sip_uri_is_nowhere_for_others() -> None:
    dialog = Dialog.as_caller(
        invite(to="<tel:+12015550123>"), invite(to="<tel:+12015550123>").response(200, to_tag="b")
    )
    assert dialog.peer_uri(has_server=True) is None
    named = Dialog.as_caller(
        invite(to="<sip:b@c?Subject=x>"), invite(to="<sip:b@c?Subject=x>").response(200, to_tag="b")
    )
    assert str(named.peer_uri(has_server=True)) == "sip:b@c"


def test_rfc_3891_who_takes_our_place_names_the_dialog_as_our_peer_has_it() -> None:
    replaces = as_caller().as_replaced_by_peer()
    assert (replaces.call_id, replaces.to_tag, replaces.from_tag) == ("c", "b", "a")
    # Section 3: "0" stands for a peer that has no tag.
    old = Dialog.as_caller(invite(), response(200, ("Contact", "<sip:bob@192.0.2.2>"), tag=None)).as_replaced_by_peer()
    assert (old.to_tag, old.from_tag) == ("0", "a")


def test_section_22_2_a_request_again_has_the_next_number_and_leaves_the_first_as_it_was() -> None:
    dialog = as_caller()
    first = dialog.request("INFO", (("X-A", "1"),), b"body")
    second = dialog.again(first)
    assert (str(first.cseq), str(second.cseq), dialog.local_sequence) == ("8 INFO", "9 INFO", 9)
    assert (second.headers.get("X-A"), second.body, second.uri) == ("1", b"body", first.uri)
    assert dialog.request("BYE").cseq.number == 10


def test_a_dialog_that_has_ended_says_so() -> None:
    dialog = as_caller()
    assert dialog.state is DialogState.CONFIRMED
    dialog.terminate()
    assert dialog.state is DialogState.TERMINATED
