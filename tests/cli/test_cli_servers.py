"""Servers that cannot be reached, refuse, or do not answer; and a server that cannot listen."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cli.phones import DOMAIN, account, serving
from interop.peers import free_port, sansio_sip

RUNTIMES = ["asyncio", "trio"]


@contextmanager
def listening(kind: socket.SocketKind) -> Iterator[int]:
    """A port that takes everything and says nothing."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            sock.listen()
        yield sock.getsockname()[1]


def assert_unreachable(url: str, runtime: str = "asyncio") -> str:
    arguments = ["register", f"sip:alice@{DOMAIN}", "--server", url, "--password", "x", "--runtime", runtime]
    with sansio_sip(*arguments) as phone:
        assert phone.wait() == 4, str(phone)
    assert phone.rows[-1]["event"] == "summary"
    assert phone.rows[-1]["exit"] == 4
    assert phone.rows[-1]["t"] <= 10
    assert url in phone.errors[-1]
    assert phone.errors[-1].startswith("sansio-sip: ")
    assert "check" in phone.errors[-1]
    return phone.errors[-1]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("scheme", ["ws", "tcp"])
def test_a_port_that_refuses(scheme: str, runtime: str) -> None:
    assert "refused" in assert_unreachable(f"{scheme}://127.0.0.1:{free_port()}", runtime)


def test_a_datagram_port_that_refuses() -> None:
    assert_unreachable(f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}")


@pytest.mark.parametrize(("scheme", "kind"), [("udp", socket.SOCK_DGRAM), ("ws", socket.SOCK_STREAM)])
def test_a_black_hole(scheme: str, kind: socket.SocketKind) -> None:
    with listening(kind) as port:
        assert_unreachable(f"{scheme}://127.0.0.1:{port}")


def test_a_name_that_nobody_has() -> None:
    # RFC 6761 section 6.4: "users may assume that queries for invalid names will always return NXDOMAIN".
    assert_unreachable("ws://nowhere.invalid")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_wrong_password_is_said_with_its_cause(runtime: str) -> None:
    with serving() as served:
        with sansio_sip("register", *account("alice", served, password="wrong"), "--runtime", runtime) as phone:
            assert phone.wait() == 3, str(phone)
        assert phone.event("onLoginFailed")["cause"] == "Authentication Error"
        assert "Authentication Error" in phone.errors[-1]
        assert "check user name and password" in phone.errors[-1]
        assert "wrong" not in "".join([*phone.lines, *phone.errors])


def test_registering_binds_and_leaves() -> None:
    with serving() as served, sansio_sip("register", *account("alice", served, scheme="udp"), "--for", "0.2") as phone:
        assert phone.wait() == 0, str(phone)
        served.lines.event("onBindingAdded", address=f"sip:alice@{DOMAIN}", transport="UDP")
        served.lines.event("onBindingRemoved", address=f"sip:alice@{DOMAIN}", reason="removed")


def test_a_server_that_is_away_is_passed_by() -> None:
    with serving() as served:
        who, *rest = account("alice", served, scheme="tcp")
        with sansio_sip("register", who, "--server", f"tcp://127.0.0.1:{free_port()}", *rest) as phone:
            assert phone.wait() == 0, str(phone)


def test_an_account_stays_at_as_many_servers_as_it_has_flows() -> None:
    with serving() as one, serving() as other:
        words = [*account("alice", one, scheme="tcp"), "--server", other.urls["tcp"], "--flows", "2", "--for", "20"]
        with sansio_sip("register", *words) as phone:
            for served in (one, other):
                served.lines.event("onBindingAdded", address=f"sip:alice@{DOMAIN}")
            phone.process.terminate()
            phone.wait()
            for served in (one, other):
                served.lines.event("onBindingRemoved", address=f"sip:alice@{DOMAIN}")


def test_a_password_from_the_environment() -> None:
    with serving() as served:
        arguments = [f"sip:alice@{DOMAIN}", "--server", served.urls["tcp"]]
        with sansio_sip("register", *arguments, env={"SANSIO_SIP_PASSWORD": "pw-alice"}) as phone:
            assert phone.wait() == 0, str(phone)


@pytest.mark.parametrize("scheme", ["ws", "udp", "tcp"])
def test_a_server_on_a_port_that_is_taken(scheme: str) -> None:
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    with listening(kind) as port:
        with sansio_sip("serve", f"--{scheme}", f"127.0.0.1:{port}") as server:
            assert server.wait() == 2
        assert f"{scheme}://127.0.0.1:{port}" in server.errors[-1]
        assert "choose another port" in server.errors[-1]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_ends_when_told_to(runtime: str) -> None:
    with serving("--runtime", runtime) as served:
        served.lines.process.terminate()
        assert served.lines.wait() == 0
        assert not served.lines.errors
