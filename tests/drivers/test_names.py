"""SRV and NAPTR look-ups, against a name server on loopback that knows one zone; and both drivers that use them."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from drivers.echo import Echo, Found
from drivers.observer import Observer
from drivers.runtimes import RUNTIMES

from sansio_sip.effects import NaptrRecord, RecordType, Resolve, SrvRecord
from sansio_sip_sockets import names

ZONE = {
    ("example.com.", "NAPTR"): [
        '10 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.',
        '20 50 "s" "SIP+D2U" "" _sip._udp.example.com.',
    ],
    ("_sip._udp.example.com.", "SRV"): ["1 60 5060 a.example.com.", "1 40 5070 b.example.com."],
    ("_sip._tcp.example.com.", "SRV"): ["0 0 0 ."],
}
NAPTR = (
    NaptrRecord(10, 50, "s", "SIPS+D2T", "", "_sips._tcp.example.com"),
    NaptrRecord(20, 50, "s", "SIP+D2U", "", "_sip._udp.example.com"),
)
SRV = (SrvRecord(1, 60, 5060, "a.example.com"), SrvRecord(1, 40, 5070, "b.example.com"))


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[dns.resolver.Resolver]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, source = sock.recvfrom(4096)
            if not data:
                return
            query = dns.message.from_wire(data)
            response = dns.message.make_response(query)
            question = query.question[0]
            rows = ZONE.get((question.name.to_text(), dns.rdatatype.to_text(question.rdtype)))
            if rows is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
            else:
                response.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", question.rdtype, rows))
            sock.sendto(response.to_wire(), source)

    thread = threading.Thread(target=serve)
    thread.start()
    found = dns.resolver.Resolver(configure=False)
    found.nameservers, found.port = ["127.0.0.1"], sock.getsockname()[1]
    monkeypatch.setattr(dns.resolver, "default_resolver", found)
    yield found
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
        bell.sendto(b"", sock.getsockname())
    thread.join()
    sock.close()


def test_records_come_typed_and_in_their_order(resolver: dns.resolver.Resolver) -> None:
    assert sorted(names.look_up("example.com", RecordType.NAPTR, resolver), key=str) == sorted(NAPTR, key=str)
    assert set(names.look_up("_sip._udp.example.com", RecordType.SRV, resolver)) == set(SRV)
    # RFC 2782: the root says that there is no such service.
    assert names.look_up("_sip._tcp.example.com", RecordType.SRV, resolver) == (SrvRecord(0, 0, 0, ""),)
    assert names.look_up("_sips._tcp.example.com", RecordType.SRV, resolver) == ()


@pytest.mark.parametrize(
    "name", ["localhost", "_sip._udp.localhost", "a.localhost.", "192.0.2.1", "::1", "a..b", "x" * 300]
)
def test_nobody_is_asked_about_what_has_no_records(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(dns.resolver.Resolver):
        def resolve(self, *_: Any, **__: Any) -> Any:
            raise dns.resolver.NoNameservers

    assert names.look_up(name, RecordType.SRV, Silent(configure=False)) == ()


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_both_drivers_look_records_up(runtime: Any, resolver: dns.resolver.Resolver) -> None:
    async def main() -> None:
        machine, observer = Echo(), Observer(runtime)
        async with runtime.driver.open_driver(machine, observer) as driver:
            driver.feed(machine.do, Resolve(1, "_sip._udp.example.com", RecordType.SRV))
            found = await observer.until(lambda event: isinstance(event, Found))
            assert set(found.records) == set(SRV)

    runtime.run(main)
