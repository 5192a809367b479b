"""Names of the peer's candidates: what is looked up, and what never is."""

from ice.network import context

from sansio_sip.effects import Address, FlowId, Resolve, SendDatagram
from sansio_sip_media.ice.connectivity import MAX_HIDDEN, Connectivity, IceServers

HIDDEN = "8f0c7a52-3a1e-4c0b-9a3f-{:012x}.local"


def line(host: str) -> str:
    return f"1 1 udp 2122260223 {host} 5000 typ host"


def looked_up(*hosts: str) -> tuple[Connectivity, list[Resolve]]:
    ways = Connectivity(context("ways"), IceServers(), controlling=True)
    ways.add_flow(FlowId("a"), Address("10.0.0.1", 4000), now=0.0)
    ways.set_remote("ufrag", "password" * 3, tuple(line(host) for host in hosts), lite=False, now=0.0)
    return ways, [output for output in ways.outputs() if isinstance(output, Resolve)]


def test_a_hidden_name_is_looked_up_and_checked() -> None:
    ways, (asked,) = looked_up(HIDDEN.format(1))
    assert asked.name == HIDDEN.format(1)
    ways.resolved(asked.query, (Address("10.0.0.2", 0),), now=0.1)
    ways.handle_timeout(now=0.2)
    sent = [output for output in ways.outputs() if isinstance(output, SendDatagram)]
    assert [output.destination for output in sent] == [Address("10.0.0.2", 5000)]


def test_a_name_that_is_not_found_is_counted() -> None:
    ways, (asked,) = looked_up(HIDDEN.format(1))
    ways.resolved(asked.query, (), now=0.1)
    assert ways.counters["mDNS candidate not found"] == 1


def test_a_peer_does_not_choose_what_we_ask_the_dns() -> None:
    ways, asked = looked_up("intranet.example.com", "printer.local", "a.b.local")
    assert not asked
    assert ways.counters["mDNS candidate"] == 2
    assert ways.counters["named candidate"] == 1


def test_only_a_few_names_are_looked_up() -> None:
    ways, asked = looked_up(*(HIDDEN.format(number) for number in range(MAX_HIDDEN + 3)))
    assert len(asked) == MAX_HIDDEN
    assert ways.counters["mDNS candidate"] == 3
