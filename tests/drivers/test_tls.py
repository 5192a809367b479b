"""TLS on both drivers: the chain is verified there, and the names reach the machine that has to judge them."""

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from drivers.certificates import write_certificate
from drivers.echo import Echo, Heard, Lost, Opened
from drivers.observer import Observer
from drivers.runtimes import RUNTIMES

from sansio_sip.effects import Address, FlowId, Listen, OpenStream, SendStream, TlsPeer, TlsPolicy, TlsServer
from sansio_sip.server_url import ServerUrl
from sansio_sip.tls_identity import identity_fault

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)

NAMES = (
    x509.DNSName("pbx.example.com"),
    x509.UniformResourceIdentifier("sip:example.com"),
    x509.IPAddress(ip_address("127.0.0.1")),
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate with the names above, and its key."""
    return write_certificate(tmp_path_factory.mktemp("tls"), NAMES)


def connect(
    runtime: Any, certificate: tuple[Path, Path], policy: Callable[[str], TlsPolicy]
) -> tuple[Any, TlsPeer | None]:
    """Connects to a listener of ours; returns what came of it, and the peer that the machine was told of."""
    peers: list[TlsPeer | None] = []

    class Witness(Echo):
        def flow_opened(
            self,
            flow: FlowId,
            local: Address,
            remote: Address | None = None,
            peer: TlsPeer | None = None,
            *,
            now: float,
        ) -> None:
            if flow == "mine":
                peers.append(peer)
            super().flow_opened(flow, local, remote, peer, now=now)

    async def main() -> Any:
        machine, observer = Witness(), Observer(runtime)
        async with runtime.driver.open_driver(machine, observer) as driver:
            server = TlsServer(*map(str, certificate))
            driver.feed(machine.do, Listen(FlowId("echo"), Address("127.0.0.1", 0), server))
            there = (await observer.until(lambda event: isinstance(event, Opened) and event.flow == "echo")).local
            driver.feed(machine.do, OpenStream(FlowId("mine"), there.host, there.port, policy(str(certificate[0]))))
            came = await observer.until(lambda event: isinstance(event, Opened | Lost) and event.flow == "mine")
            if isinstance(came, Opened):
                driver.feed(machine.do, SendStream(FlowId("mine"), b"hello"))
                await observer.until(lambda event: event == Heard(FlowId("mine"), b"hello"))
            return came

    came = runtime.run(main)
    return came, peers[0] if peers else None


def test_a_verified_peer_comes_with_all_its_names(runtime: Any, certificate: tuple[Path, Path]) -> None:
    _, peer = connect(runtime, certificate, lambda ca: TlsPolicy("pbx.example.com", ca))
    assert peer == TlsPeer(("pbx.example.com", "127.0.0.1"), ("sip:example.com",), verified=True)
    for url, good in [
        ("wss://pbx.example.com", True),
        ("wss://127.0.0.1", True),
        ("tls://example.com", True),
        ("tls://pbx.example.com", False),
        ("wss://another.example.com", False),
    ]:
        assert (identity_fault(peer, ServerUrl.parse(url)) is None) == good


def test_a_name_that_is_not_in_the_certificate_is_for_the_machine_to_refuse(
    runtime: Any, certificate: tuple[Path, Path]
) -> None:
    _, peer = connect(runtime, certificate, lambda ca: TlsPolicy("other.example.com", ca))
    assert identity_fault(peer, ServerUrl.parse("wss://other.example.com")) is not None


def test_an_unknown_authority_is_a_lost_flow(runtime: Any, certificate: tuple[Path, Path]) -> None:
    came, _ = connect(runtime, certificate, lambda _: TlsPolicy("pbx.example.com"))
    assert isinstance(came, Lost)
    assert "certificate" in came.reason.lower()


def test_without_verification_the_peer_has_no_names(runtime: Any, certificate: tuple[Path, Path]) -> None:
    _, peer = connect(runtime, certificate, lambda _: TlsPolicy("pbx.example.com", verify=False))
    assert peer == TlsPeer()
    assert identity_fault(peer, ServerUrl.parse("wss://pbx.example.com")) == "the certificate was not verified"
