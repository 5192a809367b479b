"""Candidates: the lines of ICE-29, the formulas of ICE-30, foundations, and which two may pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.effects import Address, FlowId
from sansio_sip.errors import ParseError
from sansio_sip_media.ice.candidate import Candidate, CandidateType, can_pair, candidate_priority
from sansio_sip_media.ice.local_candidates import LocalCandidates
from sansio_sip_media.ice.pair import TRANSITIONS, PairInput, PairState, pair_priority

CHROME = (
    "842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.168.1.5 rport 46154 "
    "generation 0 ufrag EsAr network-cost 999"
)


def test_ice_29_a_candidate_line_keeps_what_it_does_not_know() -> None:
    candidate = Candidate.parse(CHROME)
    assert candidate == Candidate(
        "842163049",
        1,
        "udp",
        1677729535,
        Address("203.0.113.7", 46154),
        CandidateType.SERVER_REFLEXIVE,
        Address("192.168.1.5", 46154),
        (("generation", "0"), ("ufrag", "EsAr"), ("network-cost", "999")),
    )
    assert str(candidate) == CHROME


@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:"])
def test_ice_29_prefixes_are_taken(prefix: str) -> None:
    assert Candidate.parse(prefix + "1 1 UDP 1 ::1 9 typ host") == Candidate(
        "1", 1, "udp", 1, Address("::1", 9), CandidateType.HOST
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1 1 udp 1 192.0.2.1 9 typ",
        "1 1 udp 1 192.0.2.1 9 type host",
        "1 1 udp 1 192.0.2.1 9 typ new",
        "1 1 udp 1 192.0.2.1 0 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "1 1 udp 1 192.0.2.1 -1 typ host",
        "1 1 udp 1 192.0.2.1 ٣ typ host",
        "1 0 udp 1 192.0.2.1 9 typ host",
        "1 257 udp 1 192.0.2.1 9 typ host",
        "1 1 udp 4294967296 192.0.2.1 9 typ host",
        "1 1 udp x 192.0.2.1 9 typ host",
        "a-b 1 udp 1 192.0.2.1 9 typ host",
        "123456789012345678901234567890123 1 udp 1 192.0.2.1 9 typ host",
        "1 1 udp 1 a/b 9 typ host",
        "1 1 udp 1 192.0.2.1 9 typ srflx raddr 10.0.0.1 rport 70000",
        "1 1 udp 1 192.0.2.1 9 typ host " + "x " * 600,
    ],
)
def test_ice_29_a_bad_line_is_rejected(line: str) -> None:
    with pytest.raises(ParseError):
        Candidate.parse(line)


@pytest.mark.parametrize(
    ("kind", "preference", "component", "priority"),
    [
        (CandidateType.HOST, 65535, 1, 2130706431),
        (CandidateType.HOST, 65535, 2, 2130706430),
        (CandidateType.PEER_REFLEXIVE, 65535, 1, 1862270975),
        (CandidateType.SERVER_REFLEXIVE, 65535, 1, 1694498815),
        (CandidateType.RELAYED, 65535, 1, 16777215),
    ],
)
def test_ice_30_candidate_priority(kind: CandidateType, preference: int, component: int, priority: int) -> None:
    assert candidate_priority(kind, preference, component) == priority


@pytest.mark.parametrize(
    ("controlling", "controlled", "priority"),
    [
        (2130706431, 2130706431, (2130706431 << 32) + 2 * 2130706431),
        (2, 1, (1 << 32) + 4 + 1),
        (1, 2, (1 << 32) + 4),
    ],
)
def test_ice_30_pair_priority(controlling: int, controlled: int, priority: int) -> None:
    assert pair_priority(controlling, controlled) == priority


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_ice_30_pair_priority_orders_by_the_smaller_candidate_first(one: int, two: int, three: int) -> None:
    low, middle, high = sorted((one, two, three))
    if low < middle:
        assert pair_priority(low, high) < pair_priority(middle, high)
    assert abs(pair_priority(low, high) - pair_priority(high, low)) <= 1


def test_ice_30_foundations_and_preferences_of_our_own() -> None:
    locals_ = LocalCandidates()
    host = Address("10.0.0.1", 1000)
    for kind, flow, address, base in [
        (CandidateType.HOST, "a", host, None),
        (CandidateType.HOST, "b", Address("10.0.0.1", 1001), None),
        (CandidateType.HOST, "c", Address("2001:db8::1", 1000), None),
        (CandidateType.SERVER_REFLEXIVE, "a", Address("203.0.113.1", 5), host),
        (CandidateType.RELAYED, "relay", Address("198.51.100.1", 6), Address("203.0.113.1", 5)),
    ]:
        locals_.add(kind, FlowId(flow), address, base)
    assert locals_.lines() == (
        "1 1 udp 2130706431 10.0.0.1 1000 typ host",
        "1 1 udp 2130706175 10.0.0.1 1001 typ host",
        "2 1 udp 2130705919 2001:db8::1 1000 typ host",
        "3 1 udp 1694498815 203.0.113.1 5 typ srflx raddr 10.0.0.1 rport 1000",
        "4 1 udp 16777215 198.51.100.1 6 typ relay raddr 203.0.113.1 rport 5",
    )


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        ("10.0.0.1", "192.0.2.1", True),
        ("169.254.0.1", "192.0.2.1", True),
        ("10.0.0.1", "2001:db8::1", False),
        ("fe80::1", "2001:db8::1", False),
        ("fe80::1", "fe80::2", True),
        ("2001:db8::2", "2001:db8::1", True),
    ],
)
def test_ice_21_which_addresses_pair(local: str, remote: str, expected: bool) -> None:
    assert can_pair(local, remote) is expected


def test_pair_transitions_are_those_of_the_rfc() -> None:
    answered = {state for state, happened in TRANSITIONS if happened is PairInput.ANSWERED}
    assert answered == {PairState.WAITING, PairState.IN_PROGRESS, PairState.FAILED}
    assert {state for (_, happened), state in TRANSITIONS.items() if happened is PairInput.ANSWERED} == {
        PairState.SUCCEEDED
    }
    assert (PairState.SUCCEEDED, PairInput.TRIGGERED) not in TRANSITIONS
    assert (PairState.FROZEN, PairInput.STARTED) not in TRANSITIONS


lines = st.builds(
    Candidate,
    st.text("abcXYZ019+/", min_size=1, max_size=32),
    st.integers(1, 256),
    st.sampled_from(["udp", "tcp"]),
    st.integers(0, 2**32 - 1),
    st.builds(Address, st.ip_addresses().map(str), st.integers(1, 65535)),
    st.sampled_from(list(CandidateType)),
    st.none() | st.builds(Address, st.ip_addresses().map(str), st.integers(0, 65535)),
    st.lists(st.tuples(st.sampled_from(["generation", "ufrag", "x"]), st.text("ab1", min_size=1, max_size=4))).map(
        tuple
    ),
)


@given(lines)
def test_a_candidate_that_is_written_is_read_again(candidate: Candidate) -> None:
    assert Candidate.parse(str(candidate)) == candidate


@given(st.text(max_size=120))
def test_any_text_is_a_candidate_or_a_parse_error(text: str) -> None:
    try:
        Candidate.parse(text)
    except ParseError:
        return
