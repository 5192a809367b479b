"""Where a SIP server is (RFC 3263), and in which order servers are tried (RFC 2782)."""

import random
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, NaptrRecord, Record, RecordType, Resolve, SrvRecord
from sansio_sip.errors import ParseError
from sansio_sip.sip import locating
from sansio_sip.sip.locating import Located, Locator, Target, order_srv
from sansio_sip.sip.transport import transport_named
from sansio_sip.sip.uri import SipUri, parse_uri

Zone = Mapping[tuple[str, RecordType], tuple[Record, ...]]

NAPTR, SRV, ADDRESS = RecordType.NAPTR, RecordType.SRV, RecordType.ADDRESS


def context(seed: int = 1) -> Context:
    return Context(Entropy(random.Random(seed)))


def locate(zone: Zone, uri: str, *, transports: tuple[str, ...] = ("TLS", "TCP", "UDP")) -> tuple[Located, list[str]]:
    """What is found in a zone, and the questions that it took."""
    parsed = parse_uri(uri)
    assert isinstance(parsed, SipUri)
    locator = Locator(
        context(),
        parsed.host,
        parsed.port,
        secure=parsed.scheme == "sips",
        transport=transport_named(parsed),
        transports=transports,
    )
    asked: list[str] = []
    for output in locator.outputs():
        if isinstance(output, Located):
            assert list(locator.outputs()) == []
            return output, asked
        assert isinstance(output, Resolve)
        asked.append(f"{output.kind.name} {output.name}")
        assert locator.resolved(output.query, zone.get((output.name, output.kind), ()))
        assert not locator.resolved(output.query, ())  # once
    raise AssertionError("no end")


# The example of RFC 3263 section 4.1.
EXAMPLE: Zone = {
    ("example.com", NAPTR): (
        NaptrRecord(90, 50, "s", "SIP+D2T", "", "_sip._tcp.example.com"),
        NaptrRecord(50, 50, "s", "SIPS+D2T", "", "_sips._tcp.example.com"),
        NaptrRecord(100, 50, "s", "SIP+D2U", "", "_sip._udp.example.com"),
    ),
    ("_sip._tcp.example.com", SRV): (
        SrvRecord(0, 1, 5060, "server1.example.com"),
        SrvRecord(1, 2, 5060, "server2.example.com"),
    ),
    ("_sips._tcp.example.com", SRV): (SrvRecord(0, 1, 5061, "server1.example.com"),),
    ("_sip._udp.example.com", SRV): (SrvRecord(0, 1, 5060, "server2.example.com"),),
    ("server1.example.com", ADDRESS): (Address("192.0.2.1", 0), Address("2001:db8::1", 0)),
    ("server2.example.com", ADDRESS): (Address("192.0.2.2", 0),),
    ("example.com", ADDRESS): (Address("192.0.2.9", 0),),
}
TLS1, TLS1V6 = Target("TLS", Address("192.0.2.1", 5061)), Target("TLS", Address("2001:db8::1", 5061))
TCP1, TCP1V6 = Target("TCP", Address("192.0.2.1", 5060)), Target("TCP", Address("2001:db8::1", 5060))
TCP2, UDP2 = Target("TCP", Address("192.0.2.2", 5060)), Target("UDP", Address("192.0.2.2", 5060))


@pytest.mark.parametrize(
    ("uri", "transports", "targets", "asked"),
    [
        # 4.1: the order of the NAPTR records, not ours.
        ("sip:example.com", ("UDP", "TCP", "TLS"), (TLS1, TLS1V6, TCP1, TCP1V6, TCP2, UDP2), 8),
        # 4.1: services that we cannot use are passed over.
        ("sip:example.com", ("TCP", "UDP"), (TCP1, TCP1V6, TCP2, UDP2), 6),
        ("sip:example.com", ("UDP",), (UDP2,), 3),
        # 4.1: sips takes SIPS services alone.
        ("sips:example.com", ("TLS", "TCP", "UDP"), (TLS1, TLS1V6), 3),
        # 4.1: a transport is named: SRV of it.
        ("sip:example.com;transport=tcp", ("TLS", "TCP", "UDP"), (TCP1, TCP1V6, TCP2), 3),
        ("sips:example.com;transport=tcp", ("TLS", "TCP", "UDP"), (TLS1, TLS1V6), 2),
        # 4.2: a port is given: addresses of the name.
        ("sip:example.com:5070", ("TLS", "TCP", "UDP"), (Target("UDP", Address("192.0.2.9", 5070)),), 1),
        ("sips:example.com:5070", ("TLS", "TCP", "UDP"), (Target("TLS", Address("192.0.2.9", 5070)),), 1),
        ("sip:example.com:5070;transport=tcp", ("TCP",), (Target("TCP", Address("192.0.2.9", 5070)),), 1),
        # 4.1, 4.2: an IP address.
        ("sip:192.0.2.7", ("TLS", "TCP", "UDP"), (Target("UDP", Address("192.0.2.7", 5060)),), 0),
        ("sips:192.0.2.7", ("TLS", "TCP", "UDP"), (Target("TLS", Address("192.0.2.7", 5061)),), 0),
        ("sip:[2001:db8::7]:5070;transport=tcp", ("TCP",), (Target("TCP", Address("2001:db8::7", 5070)),), 0),
        # Not possible here.
        ("sip:example.com;transport=tcp", ("UDP",), (), 0),
        ("sips:example.com", ("UDP",), (), 1),
        ("sip:192.0.2.7;transport=tls", ("UDP",), (), 0),
    ],
)
def test_rfc3263_example(uri: str, transports: tuple[str, ...], targets: tuple[Target, ...], asked: int) -> None:
    located, questions = locate(EXAMPLE, uri, transports=transports)
    assert located.targets == targets
    assert bool(located.reason) == (not targets)
    assert len(questions) == asked, questions


def without(*kinds: RecordType, **more: tuple[Record, ...]) -> Zone:
    return {key: records for key, records in EXAMPLE.items() if key[1] not in kinds}


@pytest.mark.parametrize(
    ("zone", "uri", "transports", "targets"),
    [
        # 4.1: no NAPTR: SRV of each transport, in our order.
        (without(NAPTR), "sip:example.com", ("UDP", "TCP"), (UDP2, TCP1, TCP1V6, TCP2)),
        (without(NAPTR), "sips:example.com", ("TLS", "UDP", "TCP"), (TLS1, TLS1V6)),
        # 4.2: no SRV either: the name at the default port of the default transport.
        (without(NAPTR, SRV), "sip:example.com", ("TLS", "TCP", "UDP"), (Target("UDP", Address("192.0.2.9", 5060)),)),
        (without(NAPTR, SRV), "sips:example.com", ("TLS", "TCP"), (Target("TLS", Address("192.0.2.9", 5061)),)),
        (without(NAPTR, SRV), "sip:example.com", ("TCP",), (Target("TCP", Address("192.0.2.9", 5060)),)),
        (without(SRV), "sip:example.com;transport=tls", ("TLS",), (Target("TLS", Address("192.0.2.9", 5061)),)),
        # Nothing at all.
        ({}, "sip:example.com", ("TLS", "TCP", "UDP"), ()),
        # RFC 2782: a target of "." says that there is no such service; then the name itself is not asked either.
        (
            {**without(NAPTR, SRV), ("_sip._tcp.example.com", SRV): (SrvRecord(0, 0, 0, ""),)},
            "sip:example.com;transport=tcp",
            ("TCP",),
            (),
        ),
        # NAPTR with flags or services that mean something else.
        (
            {
                **without(NAPTR),
                ("example.com", NAPTR): (
                    NaptrRecord(1, 1, "u", "E2U+sip", "!^.*$!sip:x@y!", ""),
                    NaptrRecord(2, 1, "s", "SIP+D2X", "", "_sip._sctp.example.com"),
                    NaptrRecord(3, 2, "S", "sip+d2t", "", "_sip._tcp.example.com"),
                    NaptrRecord(3, 1, "s", "SIP+D2U", "", "_sip._udp.example.com"),
                ),
            },
            "sip:example.com",
            ("TLS", "TCP", "UDP"),
            (UDP2, TCP1, TCP1V6, TCP2),
        ),
        # SRV whose target is an address in text form needs no look-up.
        (
            {("_sip._udp.example.com", SRV): (SrvRecord(0, 0, 5080, "192.0.2.33"),)},
            "sip:example.com;transport=udp",
            ("UDP",),
            (Target("UDP", Address("192.0.2.33", 5080)),),
        ),
    ],
)
def test_what_is_missing(zone: Zone, uri: str, transports: tuple[str, ...], targets: tuple[Target, ...]) -> None:
    located, _ = locate(zone, uri, transports=transports)
    assert located.targets == targets


def test_answers_may_come_in_any_order_and_twice() -> None:
    locator = Locator(context(), "example.com", None, transports=("TCP", "UDP"), first_query=7)
    (naptr,) = locator.outputs()
    assert naptr == Resolve(7, "example.com", NAPTR)
    locator.resolved(7, ())
    tcp, udp = locator.outputs()
    assert isinstance(tcp, Resolve)
    assert isinstance(udp, Resolve)
    assert locator.resolved(udp.query, (SrvRecord(0, 0, 1, "a"),))
    assert list(locator.outputs()) == []
    assert locator.resolved(tcp.query, (SrvRecord(0, 0, 2, "b"),))
    b, a = locator.outputs()
    assert isinstance(a, Resolve)
    assert isinstance(b, Resolve)
    assert (b.name, a.name) == ("b", "a")
    locator.resolved(a.query, (Address("192.0.2.1", 0),))
    locator.resolved(b.query, (Address("192.0.2.2", 0),))
    targets = (Target("TCP", Address("192.0.2.2", 2)), Target("UDP", Address("192.0.2.1", 1)))
    assert list(locator.outputs()) == [Located(targets)]
    assert not locator.resolved(a.query, ())
    assert locator.next_query == 12


def test_weights_share_the_load_and_priorities_come_first() -> None:
    records = [SrvRecord(2, 0, 1, "late"), *(SrvRecord(1, weight, 1, str(weight)) for weight in (0, 10, 30, 60))]
    firsts: Counter[str] = Counter()
    mine = context()
    for _ in range(4000):
        ordered = order_srv(mine, records)
        assert sorted(ordered, key=str) == sorted(records, key=str)
        assert ordered[-1].target == "late"
        firsts[ordered[0].target] += 1
    # RFC 2782: a weight of 0 has "a very small chance"; here 1 in 101.
    assert firsts["0"] < 100
    for weight in (10, 30, 60):
        assert abs(firsts[str(weight)] / 4000 - weight / 100) < 0.04


def test_a_flood_of_records_is_cut() -> None:
    zone: Zone = {
        ("example.com", NAPTR): tuple(NaptrRecord(n, 0, "s", "SIP+D2U", "", f"s{n}") for n in range(300)),
        **{(f"s{n}", SRV): tuple(SrvRecord(m, 0, 5060, f"h{n}-{m}") for m in range(300)) for n in range(300)},
    }
    located, asked = locate(zone, "sip:example.com")
    assert located.targets == ()
    assert len(asked) == 1 + locating.MAX_SERVICES + locating.MAX_SRV


def test_a_transport_that_nobody_speaks_is_an_error() -> None:
    with pytest.raises(ParseError, match="sctp"):
        transport_named(SipUri("example.com", parameters=(("transport", "sctp"),)))


NAMES = st.sampled_from(["a", "b", "c", "", "192.0.2.1", "::1"])
RECORDS = st.one_of(
    st.builds(Address, st.sampled_from(["192.0.2.1", "2001:db8::1"]), st.just(0)),
    st.builds(SrvRecord, st.integers(0, 3), st.integers(0, 65_535), st.integers(0, 65_535), NAMES),
    st.builds(
        NaptrRecord,
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(["s", "S", "u", ""]),
        st.sampled_from(["SIP+D2U", "SIP+D2T", "SIPS+D2T", "x"]),
        st.just(""),
        NAMES,
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["example.com", "a", "b", "c", "_sip._udp.example.com"]), st.sampled_from(RecordType)
        ),
        st.lists(RECORDS, max_size=6).map(tuple),
    ),
    st.sampled_from(["sip:example.com", "sips:example.com", "sip:example.com;transport=udp", "sip:example.com:1"]),
    st.permutations(["UDP", "TCP", "TLS"]),
    st.integers(1, 3),
)
def test_whatever_the_dns_says_there_is_one_answer(zone: Zone, uri: str, order: list[str], count: int) -> None:
    transports = tuple(order[:count])
    located, asked = locate(zone, uri, transports=transports)
    assert len(located.targets) <= locating.MAX_TARGETS
    assert all(target.transport in transports for target in located.targets)
    assert all(target.transport == "TLS" for target in located.targets) or not uri.startswith("sips:")
    assert len(asked) <= 1 + locating.MAX_SERVICES + locating.MAX_SRV
