"""The server as a root machine: bounds, streams, wildcard addresses, replay, and octets from anywhere."""

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from server.bench import DOMAIN, Bench, Device, make_options

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, CloseFlow, FlowId, Listen, OpenDatagram, OpenStream, SendDatagram, TlsServer
from sansio_sip.server import Server, ServerFailed, ServerListening, ServerOptions
from sansio_sip.server.events import BindingAdded, BindingRemoved
from sansio_sip.sip.limits import Limits
from sansio_sip.trace import TraceWriter, replay


def build(kind: str, options: Any, context: Context) -> Server:
    assert kind == "server"
    return Server(context, options["options"])


# ------------------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "exa mple"},
        {"listen": ()},
        {"listen": ("sctp://127.0.0.1:5061",)},
        {"listen": ("udp://example.com:5060",)},
        {"listen": ("udp://127.0.0.1:65536",)},
        {"listen": ("udp://127.0.0.1",)},
        {"digest_algorithms": ()},
        {"digest_algorithms": ("SHA-1",)},
        {"min_expires": 0},
        {"default_expires": 30},
        {"max_expires": 86_401},
        {"max_streams": 0},
    ],
)
def test_a_bad_option_is_refused_with_its_name(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(?s)(domain|listen|digest_algorithms|expires|max_streams).*allowed"):
        make_options(**change)


@pytest.mark.parametrize("transport", ["tls", "wss"])
def test_tls_needs_a_certificate_and_its_key(transport: str) -> None:
    listen = (f"{transport}://127.0.0.1:0",)
    some: list[dict[str, Any]] = [{}, {"certificate_file": "c.pem"}, {"key_file": "k.pem"}]
    for files in some:
        with pytest.raises(ValueError, match=r"certificate_file and key_file"):
            ServerOptions(listen=listen, **files)
    server = Server(
        Context(Entropy(random.Random(1))), ServerOptions(listen=listen, certificate_file="c.pem", key_file="k.pem")
    )
    flow = FlowId(f"{transport}0")
    assert list(server.outputs()) == [Listen(flow, Address("127.0.0.1", 0), TlsServer("c.pem", "k.pem"))]
    server.flow_opened(flow, Address("127.0.0.1", 5061), now=0.0)
    assert list(server.outputs()) == [ServerListening(f"{transport}://127.0.0.1:5061")]


def test_events_say_what_they_are() -> None:
    events = (
        ServerListening("udp://127.0.0.1:5060"),
        ServerFailed("udp://127.0.0.1:5060", "in use"),
        BindingAdded("sip:a@b", "sip:a@c", "UDP", 60),
        BindingRemoved("sip:a@b", "sip:a@c", "expired"),
    )
    assert [(event.name, event.as_dict()) for event in events] == [
        ("onServerListening", {"url": "udp://127.0.0.1:5060"}),
        ("onServerFailed", {"url": "udp://127.0.0.1:5060", "reason": "in use"}),
        ("onBindingAdded", {"address": "sip:a@b", "contact": "sip:a@c", "transport": "UDP", "expires": 60}),
        ("onBindingRemoved", {"address": "sip:a@b", "contact": "sip:a@c", "reason": "expired"}),
    ]


# ---------------------------------------------------------------------------------------------------------- listeners


def test_listeners_open_at_once_and_tell_their_real_ports() -> None:
    server = Server(
        Context(Entropy(random.Random(1))),
        ServerOptions(listen=("udp://127.0.0.1:0", "ws://[::1]:0", "tcp://localhost:0")),
    )
    assert list(server.outputs()) == [
        OpenDatagram(FlowId("udp0"), Address("127.0.0.1", 0)),
        Listen(FlowId("ws1"), Address("::1", 0)),
        Listen(FlowId("tcp2"), Address("127.0.0.1", 0)),
    ]
    server.flow_opened(FlowId("udp0"), Address("127.0.0.1", 40_000), now=0.0)
    server.flow_opened(FlowId("ws1"), Address("::1", 40_001), now=0.0)
    server.flow_lost(FlowId("tcp2"), "address in use", now=0.0)
    server.flow_opened(FlowId("unheard"), Address("127.0.0.1", 1), now=0.0)
    assert list(server.outputs()) == [
        ServerListening("udp://127.0.0.1:40000"),
        ServerListening("ws://[::1]:40001"),
        ServerFailed("tcp://localhost:0", "address in use"),
    ]
    assert server.urls == ("udp://127.0.0.1:40000", "ws://[::1]:40001")
    server.close(now=1.0)
    assert list(server.outputs()) == [CloseFlow(FlowId("udp0")), CloseFlow(FlowId("ws1"))]


def test_a_server_on_all_addresses_says_one_that_the_peer_can_use() -> None:
    options = make_options(listen=("udp://0.0.0.0:5060",), authenticate_calls=False)
    bench = Bench(options)
    bench.server.interfaces_changed(("127.0.0.1", "198.51.100.1"), now=0.0)
    local, away = bench.udp("alice", "127.0.0.1", 5070), bench.udp("bob", "198.51.100.9")
    assert [device.register().status for device in (local, away)] == [200, 200]
    local.send(local.request("INVITE", "sip:bob@198.51.100.1", rows=[("Contact", local.contact)]))
    invite = away.take_request("INVITE")
    assert invite.top_via.sent_by == "198.51.100.1:5060"
    assert [route.uri.host for route in invite.record_routes] == ["198.51.100.1", "127.0.0.1"]  # type: ignore[union-attr]


def test_ipv6_end_to_end() -> None:
    bench = Bench(make_options(listen=("udp://[2001:db8::1]:5060",)))
    alice, bob = bench.udp("alice", "2001:db8::a"), bench.udp("bob", "2001:db8::b")
    assert [device.register().status for device in (alice, bob)] == [200, 200]
    alice.invite("bob")
    bob.answer(bob.take_request("INVITE"), 200)
    accepted = alice.take_response(200)
    alice.send(alice.in_dialog("ACK", accepted, number=2))
    assert bob.take_request("ACK").top_via.sent_by == "[2001:db8::1]:5060"


# ------------------------------------------------------------------------------------------------------------ streams


def test_more_streams_than_allowed_are_closed() -> None:
    bench = Bench(make_options(max_streams=1))
    bench.tcp("alice", "192.0.2.101")
    bench.tcp("bob", "192.0.2.102")
    assert bench.closed == ["tcp1#2"]
    assert bench.server.counters["refused_streams"] == 1


def test_a_stream_that_brings_no_message_is_closed_and_one_that_has_stays() -> None:
    bench = Bench()
    bench.tcp("bob", "192.0.2.102")
    alice = bench.tcp("alice", "192.0.2.101")
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    bench.run(3000.0)
    assert bench.closed == ["tcp1#1"]
    bench.run(4000.0)
    assert bench.closed == ["tcp1#1", "tcp1#2"]


def test_what_is_for_the_server_itself_may_require_only_what_it_has() -> None:
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.101")
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}", rows=[("Require", "path, nobody-a")]))
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}", rows=[("Require", "path")]))
    refused, answered = alice.take_response(420), alice.take_response(200)
    assert (refused.unsupported, "Unsupported" in answered.headers) == (("nobody-a",), False)


def test_what_is_malformed_is_answered_by_udp_only_where_wanted() -> None:
    bench = Bench(make_options(limits=Limits(answer_malformed=False)))
    for device in (bench.udp("alice", "192.0.2.101"), bench.tcp("bob", "192.0.2.102")):
        request = bytes(device.request("OPTIONS", f"sip:{DOMAIN}"))
        device.send(request.replace(b"Max-Forwards", b"no header\r\nMax-Forwards"))
        assert device.statuses() == ([] if device.user == "alice" else [400])
    assert bench.server.counters["malformed"] == 2


def test_a_stream_is_cut_into_messages_wherever_it_was_split() -> None:
    bench = Bench()
    alice = bench.tcp("alice", "192.0.2.101")
    data = b"".join(bytes(alice.request("OPTIONS", f"sip:{DOMAIN}", number=n)) for n in (1, 2))
    for octet in data:
        alice.send(bytes((octet,)))
    assert alice.statuses() == [200, 200]


def test_a_stream_that_cannot_be_framed_is_closed() -> None:
    bench = Bench()
    alice = bench.tcp("alice", "192.0.2.101")
    alice.send(b"OPTIONS sip:example.com SIP/2.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert (bench.closed, bench.server.counters["malformed"]) == (["tcp1#1"], 1)
    alice.send(b"OPTIONS")
    assert not alice.inbox


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_the_end_of_a_stream_ends_its_bindings(kind: str) -> None:
    bench = Bench()
    alice: Device = getattr(bench, kind)("alice", "192.0.2.101")
    alice.register()
    assert alice.flow is not None
    bench.server.receive_stream(alice.flow, b"", now=bench.now)
    bench.pump()
    assert bench.closed == [alice.flow]
    assert bench.events[-1].as_dict()["reason"] == "flow lost"


def registered_at_a_port_of_its_own(bench: Bench) -> tuple[Device, Device]:
    alice, bob = bench.udp("alice", "192.0.2.101"), bench.tcp("bob", "192.0.2.201")
    bob.sent_by, bob.contact = "192.0.2.201:5060", "<sip:bob@192.0.2.201:5060;transport=tcp>"
    assert bob.register().status == 200
    alice.register()
    bob.lose()
    assert not [event for event in bench.events if isinstance(event, BindingRemoved)]
    return alice, bob


def test_a_device_that_listens_for_itself_is_connected_to_when_it_is_called() -> None:
    bench = Bench()
    alice, bob = registered_at_a_port_of_its_own(bench)
    alice.invite("bob")
    opened = bench.opened.pop()
    assert opened == OpenStream(FlowId("out1"), "192.0.2.201", 5060)
    assert not bob.inbox
    bob.flow = opened.flow
    bench.server.flow_opened(opened.flow, Address("192.0.2.1", 40_000), Address("192.0.2.201", 5060), now=bench.now)
    bench.pump()
    invite = bob.take_request("INVITE")
    assert invite.top_via.sent_by == "192.0.2.1:5060"
    bob.answer(invite, 200)
    accepted = alice.take_response(200)
    alice.send(alice.in_dialog("ACK", accepted, number=2))
    bob.take_request("ACK")
    # The next one goes by the same connection, and when that breaks by a new one.
    alice.send(alice.in_dialog("INFO", accepted, number=3))
    bob.take_request("INFO")
    bob.lose()
    alice.send(alice.in_dialog("BYE", accepted, number=4))
    assert bench.opened == [OpenStream(FlowId("out2"), "192.0.2.201", 5060)]


@pytest.mark.parametrize("why", ["refused", "silent"])
def test_a_device_that_cannot_be_connected_to_fails_the_call(why: str) -> None:
    bench = Bench()
    alice, _ = registered_at_a_port_of_its_own(bench)
    alice.invite("bob")
    if why == "refused":
        bench.server.flow_lost(FlowId("out1"), "connection refused", now=bench.now)
        bench.pump()
    bench.run(bench.now + 100.0)
    assert alice.statuses()[-1] in (408, 500)
    assert bench.server.is_idle()


def test_a_web_socket_that_does_not_speak_sip_is_refused() -> None:
    bench = Bench()
    flow = FlowId("ws2#9")
    bench.server.flow_accepted(FlowId("ws2"), flow, Address("192.0.2.1", 8080), Address("192.0.2.9", 9), now=0.0)
    bench.server.receive_stream(flow, b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", now=0.0)
    bench.pump()
    assert bench.closed == [flow]


# ------------------------------------------------------------------------------------------------------------- replay


def call_of_two(bench: Bench) -> None:
    alice, bob = bench.udp("alice", "192.0.2.101"), bench.ws("bob", "192.0.2.201")
    alice.register()
    bob.register()
    alice.invite("bob")
    bob.answer(bob.take_request("INVITE"), 200)
    alice.send(alice.in_dialog("ACK", alice.take_response(200), number=2))
    bob.lose()
    bench.run(100.0)
    bench.server.close(now=100.0)
    bench.pump()


def record() -> list[str]:
    lines: list[str] = []
    options = make_options()
    context = TraceWriter(lines.append, full=False).machine("server", "server", {"options": options})
    call_of_two(Bench(options, context.context(random.Random(3), 0.0)))
    return lines


def test_a_recorded_run_can_be_run_again_and_holds_no_password() -> None:
    lines = record()
    report = replay(lines, build)
    assert (report.different, report.differences) == (0, [])
    assert report.identical > 20
    text = "".join(lines)
    assert "wonderland" not in text
    assert "builder" not in text


def test_the_same_draws_give_the_same_run() -> None:
    assert record() == record()


# ---------------------------------------------------------------------------------------------- octets from anywhere

PIECES = st.sampled_from(
    (
        b"INVITE",
        b"REGISTER",
        b"sip:bob@example.com",
        b"Route: ",
        b"\r\n",
        b"Via: ",
        b"<",
        b"*",
        b"z9hG4bK",
        b"\xff",
        b"0",
    )
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 8), PIECES), min_size=1, max_size=6),
    st.sampled_from(("REGISTER", "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "200")),
    st.sampled_from(("udp", "tcp", "ws")),
)
@example([(0, 0, b"0")], "ACK", "udp")
def test_no_octets_raise_and_all_ends(cuts: list[tuple[int, int, bytes]], method: str, kind: str) -> None:
    bench = Bench(make_options(authenticate_calls=False))
    bob = bench.udp("bob", "192.0.2.201")
    bob.register()
    alice: Device = getattr(bench, kind)("alice", "192.0.2.101")
    request = alice.request(
        "INVITE" if method == "200" else method,
        f"sip:bob@{DOMAIN}",
        rows=[("Contact", alice.contact), ("Route", "<sip:192.0.2.1:5060;lr>"), ("Expires", "60")],
    )
    data = bytes(request.response(200, to_tag="t")) if method == "200" else bytes(request)
    for at, length, piece in cuts:
        at %= len(data)
        data = data[:at] + piece + data[at + length :]
    alice.send(data)
    bench.run(400.0)
    assert bench.server.is_idle()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_noise_at_each_listener_does_nothing(noise: bytes) -> None:
    bench = Bench()
    for device in (bench.udp("alice", "192.0.2.101"), bench.tcp("alice", "192.0.2.101")):
        device.send(noise)
    flow = FlowId("ws2#9")
    bench.server.flow_accepted(FlowId("ws2"), flow, Address("192.0.2.1", 8080), Address("192.0.2.9", 9), now=0.0)
    bench.server.receive_stream(flow, noise, now=0.0)
    bench.run(400.0)
    assert bench.server.is_idle()


def test_a_flow_that_nobody_opened_is_passed_over() -> None:
    bench = Bench()
    flow = FlowId("nobody's")
    bench.server.receive_datagram(flow, b"OPTIONS", Address("192.0.2.9", 9), now=0.0)
    bench.server.receive_stream(flow, b"OPTIONS", now=0.0)
    bench.server.flow_lost(flow, "gone", now=0.0)
    bench.server.resolved(1, (), now=0.0)
    bench.server.flow_accepted(flow, FlowId("nobody's#1"), Address("192.0.2.1", 1), Address("192.0.2.9", 9), now=0.0)
    assert list(bench.server.outputs()) == [CloseFlow(FlowId("nobody's#1"))]


def test_a_datagram_that_is_no_keepalive_of_two_line_ends_is_not_answered() -> None:
    bench = Bench()
    bench.server.receive_datagram(FlowId("udp0"), b"\r\n", Address("192.0.2.9", 9), now=0.0)
    assert not [output for output in bench.server.outputs() if isinstance(output, SendDatagram)]


# -------------------------------------------------------------------------------------------------------------- limits


def test_one_address_has_its_share_of_the_streams() -> None:
    bench = Bench(make_options(max_streams_per_address=2))
    greedy = [bench.tcp("alice", "192.0.2.66") for _ in range(4)]
    assert bench.closed == [device.flow for device in greedy[2:]]
    assert bench.server.counters["refused_streams"] == 2
    bench.tcp("bob", "192.0.2.21")
    greedy[0].lose()
    bench.tcp("alice", "192.0.2.66")
    assert len(bench.closed) == 2
    bench.run(100.0)  # who says nothing is let go, and what was counted is given back
    assert bench.server._flows._of_address == {}


def test_messages_over_a_limit_are_refused_and_counted_by_reason() -> None:
    bench = Bench(make_options(limits=Limits(header_rows=8, body=10, rate=2.0, burst=3)))
    alice = bench.udp("alice", "192.0.2.11")
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}", rows=[("X", "1")] * 9))
    request = alice.request("OPTIONS", f"sip:{DOMAIN}")
    request.body = b"x" * 11
    alice.send(request)
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    assert alice.statuses() == [513, 513, 200]
    counters = bench.server.counters
    assert [counters[name] for name in ("too_many_headers", "body_too_large", "over_rate")] == [1, 1, 1]


def test_more_transactions_than_there_may_be_get_503() -> None:
    bench = Bench(make_options(max_transactions=2))
    alice = bench.udp("alice", "192.0.2.11")
    for _ in range(3):
        alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    assert alice.statuses() == [200, 200, 503]
    assert bench.server.counters["refused_requests"] == 1
