"""STUN messages: vectors of RFC 5769, captured and broken messages, and round trips of all that can be written."""

import contextlib
import hashlib
import json
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shared import require_shared, shared_dir

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip_media.ice import stun
from sansio_sip_media.ice.stun import Attribute, StunClass, StunMessage, StunMethod

CORPUS = "corpus/06-stun-ice"
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")


def vector(name: str) -> bytes:
    return require_shared(f"{CORPUS}/rfc5769/{name}").read_bytes()


def test_rfc5769_2_1_sample_request() -> None:
    message = stun.parse(vector("rfc5769-2.1-request.bin"))
    assert (message.method, message.kind, message.transaction_id) == (
        StunMethod.BINDING,
        StunClass.REQUEST,
        TRANSACTION,
    )
    assert message.attributes == {
        Attribute.PRIORITY: 0x6E0001FF,
        Attribute.ICE_CONTROLLED: 0x932FF9B151263B36,
        Attribute.USERNAME: "evtj:h6vY",
    }
    assert message.fingerprinted
    assert stun.check_integrity(message, PASSWORD)
    assert not stun.check_integrity(message, PASSWORD[:-1] + b"u")


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("rfc5769-2.2-response-ipv4.bin", Address("192.0.2.1", 32853)),
        ("rfc5769-2.3-response-ipv6.bin", Address("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_rfc5769_2_2_and_2_3_sample_responses(name: str, mapped: Address) -> None:
    message = stun.parse(vector(name))
    assert message.kind is StunClass.SUCCESS
    assert message.address(Attribute.XOR_MAPPED_ADDRESS) == mapped
    assert message.fingerprinted
    assert stun.check_integrity(message, PASSWORD)


def test_rfc5769_2_4_sample_request_with_long_term_authentication() -> None:
    message = stun.parse(vector("rfc5769-2.4-request-longterm.bin"))
    username = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"
    assert message.attributes == {
        Attribute.USERNAME: username,
        Attribute.NONCE: b"f//499k954d6OL34oL9FSTvy64sA",
        Attribute.REALM: "example.org",
    }
    key = hashlib.md5(f"{username}:example.org:TheMatrIX".encode()).digest()
    assert stun.check_integrity(message, key)
    assert not message.fingerprinted


def corpus_cases() -> list[dict[str, str]]:
    folder = shared_dir()
    cases = None if folder is None else folder / CORPUS / "cases.json"
    return json.loads(cases.read_text()) if cases is not None and cases.exists() else []


@pytest.mark.parametrize("case", corpus_cases(), ids=lambda case: Path(case["file"]).name)
def test_corpus_message_gets_its_verdict(case: dict[str, str]) -> None:
    data = require_shared(f"{CORPUS}/{case['file']}").read_bytes()
    try:
        stun.parse(data)
        verdict = "parse ok"
    except ParseError:
        verdict = "reject"
    assert verdict in case["expect"] or case["expect"].startswith("no crash")


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("err-487", (487, "Role Conflict")),
        ("xor4", Address("192.0.2.1", 32853)),
        ("xor4-short", None),
        ("xor6-long", None),
        ("xor-short", None),
    ],
)
def test_corpus_attribute_values(identifier: str, expected: object) -> None:
    rows = json.loads(require_shared(f"{CORPUS}/attribute-vectors.json").read_text())
    row = next(row for row in rows if row["id"] == identifier)
    attribute = Attribute.ERROR_CODE if identifier == "err-487" else Attribute.XOR_MAPPED_ADDRESS
    value = bytes.fromhex(row["hex"])
    body = struct.pack("!HH", attribute, len(value)) + value + bytes(-len(value) % 4)
    data = struct.pack("!HHI12s", 0x0111, len(body), 0x2112A442, TRANSACTION) + body
    if expected is None:
        with pytest.raises(ParseError):
            stun.parse(data)
    else:
        assert stun.parse(data).attributes[attribute] == expected


HEADER = struct.pack("!HHI12s", 1, 0, 0x2112A442, TRANSACTION)


def message_with(body: bytes, *, header: bytes = HEADER) -> bytes:
    return header[:2] + struct.pack("!H", len(body)) + header[4:] + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "shorter"),
        (HEADER[:19], "shorter"),
        (b"\x40" + HEADER[1:], "first two bits"),
        (HEADER + b"\0\0\0\0", "length"),
        (HEADER[:3] + b"\x01" + HEADER[4:] + b"\0", "length"),
        (HEADER[:4] + b"\x21\x12\xa4\x43" + HEADER[8:], "cookie"),
        (message_with(struct.pack("!HH", Attribute.USERNAME, 1)), "over the end"),
        (message_with(struct.pack("!HH4s", Attribute.USERNAME, 5, b"abcd")), "over the end"),
        (message_with(struct.pack("!HH4s", Attribute.USERNAME, 2, b"\xff\xfe\0\0")), "USERNAME"),
        (message_with(struct.pack("!HH4s", Attribute.MESSAGE_INTEGRITY, 4, b"abcd")), "20 octets"),
        (message_with(struct.pack("!HH", Attribute.PRIORITY, 0)), "PRIORITY"),
        (message_with(struct.pack("!HHI", Attribute.ICE_CONTROLLED, 4, 1)), "ICE_CONTROLLED"),
        (message_with(struct.pack("!HHI", Attribute.ERROR_CODE, 4, 0x0764)), "ERROR_CODE: class"),
        (message_with(struct.pack("!HHI", Attribute.ERROR_CODE, 4, 0x0464)), "ERROR_CODE: class"),
        (message_with(struct.pack("!HHI", Attribute.FINGERPRINT, 4, 1)), "FINGERPRINT is wrong"),
        (message_with(struct.pack("!HHBBH4s", Attribute.XOR_MAPPED_ADDRESS, 8, 0, 9, 1, b"abcd")), "XOR_MAPPED"),
        (message_with(struct.pack("!HHHH", Attribute.UNKNOWN_ATTRIBUTES, 3, 1, 1)), "UNKNOWN_ATTRIBUTES"),
    ],
)
def test_a_malformed_message_is_rejected_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        stun.parse(data)


def test_what_follows_message_integrity_is_ignored_but_for_the_fingerprint() -> None:
    signed = stun.encode(StunMessage(1, StunClass.REQUEST, TRANSACTION), key=b"key", fingerprint=False)
    data = message_with(signed[20:] + struct.pack("!HHI", Attribute.PRIORITY, 4, 7))
    message = stun.parse(data)
    assert not message.has(Attribute.PRIORITY)
    assert stun.check_integrity(message, b"key")


def test_the_first_of_two_equal_attributes_counts() -> None:
    twice = struct.pack("!HHI", Attribute.PRIORITY, 4, 7) + struct.pack("!HHI", Attribute.PRIORITY, 4, 8)
    assert stun.parse(message_with(twice)).number(Attribute.PRIORITY) == 7


def test_unknown_attributes_are_named_only_when_comprehension_is_required() -> None:
    body = struct.pack("!HHI", 0x0030, 4, 7) + struct.pack("!HHI", 0xC057, 4, 7)
    assert stun.parse(message_with(body)).unknown == (0x0030,)


def test_a_message_without_integrity_fails_the_check() -> None:
    assert not stun.check_integrity(stun.parse(HEADER), b"")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(HEADER, True), (HEADER[:19], False), (b"\x04" + HEADER[1:], False), (b"\x80" + bytes(30), False)],
)
def test_is_stun(data: bytes, expected: bool) -> None:
    assert stun.is_stun(data) is expected


@pytest.mark.parametrize(
    ("given_address", "canonical"),
    [
        (Address("2001:DB8:0::1", 5), Address("2001:db8::1", 5)),
        (Address("fe80::1%eth0", 5), Address("fe80::1", 5)),
        (Address("192.0.2.1", 5), Address("192.0.2.1", 5)),
        (Address("host.example", 5), None),
    ],
)
def test_canonical_address(given_address: Address, canonical: Address | None) -> None:
    assert stun.canonical_address(given_address) == canonical


ports = st.integers(0, 65535)
addresses = st.one_of(
    st.builds(Address, st.ip_addresses(v=4).map(str), ports),
    st.builds(Address, st.ip_addresses(v=6).map(str), ports),
)
texts = st.text(max_size=40).filter(lambda text: text.isascii() or text.encode("utf-8", "ignore") == text.encode())
VALUES = {
    Attribute.MAPPED_ADDRESS: addresses,
    Attribute.USERNAME: texts,
    Attribute.ERROR_CODE: st.tuples(st.integers(300, 699), texts),
    Attribute.UNKNOWN_ATTRIBUTES: st.lists(st.integers(0, 0xFFFF), max_size=5).map(tuple),
    Attribute.CHANNEL_NUMBER: st.integers(0, 0xFFFF),
    Attribute.LIFETIME: st.integers(0, 0xFFFFFFFF),
    Attribute.XOR_PEER_ADDRESS: addresses,
    Attribute.DATA: st.binary(max_size=50),
    Attribute.REALM: texts,
    Attribute.NONCE: st.binary(max_size=50),
    Attribute.XOR_RELAYED_ADDRESS: addresses,
    Attribute.REQUESTED_TRANSPORT: st.integers(0, 0xFFFFFFFF),
    Attribute.XOR_MAPPED_ADDRESS: addresses,
    Attribute.PRIORITY: st.integers(0, 0xFFFFFFFF),
    Attribute.USE_CANDIDATE: st.none(),
    Attribute.ICE_CONTROLLED: st.integers(0, (1 << 64) - 1),
    Attribute.ICE_CONTROLLING: st.integers(0, (1 << 64) - 1),
}
messages = st.builds(
    StunMessage,
    st.sampled_from(list(StunMethod)).map(int),
    st.sampled_from(list(StunClass)),
    st.binary(min_size=12, max_size=12),
    st.fixed_dictionaries({}, optional=VALUES),
)


@given(messages, st.one_of(st.none(), st.binary(min_size=1, max_size=30)), st.booleans())
def test_what_is_written_is_read_again(message: StunMessage, key: bytes | None, fingerprint: bool) -> None:
    data = stun.encode(message, key=key, fingerprint=fingerprint)
    again = stun.parse(data)
    assert (again.method, again.kind, again.transaction_id) == (message.method, message.kind, message.transaction_id)
    assert again.attributes == message.attributes
    assert again.fingerprinted is fingerprint
    assert stun.is_stun(data)
    if key is not None:
        assert stun.check_integrity(again, key)
        assert not stun.check_integrity(again, key + b"x")


@given(messages, st.data())
def test_any_flipped_bit_is_noticed(message: StunMessage, data: st.DataObject) -> None:
    octets = bytearray(stun.encode(message, key=b"key"))
    bit = data.draw(st.integers(0, 8 * len(octets) - 1))
    octets[bit // 8] ^= 1 << bit % 8
    try:
        again = stun.parse(bytes(octets))
    except ParseError:
        return
    assert not (again.fingerprinted and stun.check_integrity(again, b"key"))


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(message_with)))
@example(HEADER)
def test_parse_raises_nothing_but_parse_error(data: bytes) -> None:
    with contextlib.suppress(ParseError):
        stun.parse(data)
