"""Records of DTLS: cut, packed, recognised."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sansio_sip_media.dtls_record import (
    HEADER,
    MTU,
    ContentType,
    Record,
    is_dtls,
    pack_records,
    split_records,
    well_formed,
)

RECORDS = st.lists(
    st.builds(
        Record,
        type=st.integers(20, 63),
        epoch=st.integers(0, 0xFFFF),
        sequence=st.integers(0, (1 << 48) - 1),
        fragment=st.binary(max_size=700),
        version=st.sampled_from([0xFEFD, 0xFEFF]),
    ),
    max_size=8,
)


def test_a_record_on_the_wire() -> None:
    record = Record(ContentType.HANDSHAKE, 1, 5, b"abc")
    assert bytes(record) == bytes.fromhex("16fefd000100000000000500 03".replace(" ", "")) + b"abc"
    assert list(split_records(bytes(record))) == [record]


@given(RECORDS, st.binary(max_size=12))
def test_splitting_is_the_inverse_of_joining(records: list[Record], rest: bytes) -> None:
    stream = b"".join(map(bytes, records))
    assert list(split_records(stream)) == records
    assert well_formed(stream) == stream
    # Less than a header, at the end, is no record.
    assert list(split_records(stream + rest)) == records
    assert well_formed(stream + rest) == stream


@given(RECORDS, st.integers(100, 1500))
def test_packing_keeps_all_in_order_and_within_the_size(records: list[Record], mtu: int) -> None:
    stream = b"".join(map(bytes, records))
    datagrams = pack_records(stream, mtu)
    assert b"".join(datagrams) == stream
    for datagram in datagrams:
        assert len(datagram) <= mtu or len(list(split_records(datagram))) == 1
    for one, two in pairwise(datagrams):
        assert len(one) + len(bytes(next(split_records(two)))) > mtu


def test_packing_at_the_edge() -> None:
    half = bytes(Record(ContentType.HANDSHAKE, 0, 0, bytes(MTU // 2 - HEADER)))
    assert [len(data) for data in pack_records(half * 3)] == [MTU, MTU // 2]
    assert pack_records(b"") == ()


@given(st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    whole = well_formed(data)
    assert data.startswith(whole)
    assert b"".join(map(bytes, split_records(data))) == whole
    if whole:
        assert is_dtls(data)
    assert all(len(bytes(record)) >= HEADER for record in split_records(data))


def test_first_octet_tells_dtls_from_the_rest() -> None:
    """RFC 7983 section 7: 20 to 63. STUN, ZRTP, TURN channels and RTP are others."""
    assert [first for first in range(256) if is_dtls(bytes((first,)))] == list(range(20, 64))
    assert not is_dtls(b"")


def test_what_is_no_record() -> None:
    good = bytes(Record(ContentType.ALERT, 0, 0, b"\2\50"))
    for bad in (b"\x80" + good[1:], good[:1] + b"\3" + good[2:], good[:-1], good[:11] + b"\xff\xff" + bytes(0xFFFF)):
        assert well_formed(bad) == b""
        assert well_formed(good + bad) == good
