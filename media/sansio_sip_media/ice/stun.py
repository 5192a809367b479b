"""STUN messages: octets to values and back (RFC 8489), with the attributes of ICE and TURN.

Theory of operation
-------------------
`parse` walks the attributes of one datagram; `StunMessage` is the value; `encode` writes it, signs it and adds the
FINGERPRINT. The values of attributes, the HMAC and the CRC come from aioice's codec. The walk over the attributes is
ours, since aioice's takes messages with a wrong cookie, with attributes that run over the end or follow the
FINGERPRINT, and knows no method but its own; and since a server must name the attributes it did not understand
(RFC 8489 section 6.3.1).

This module alone imports aioice, whose transactions and connections are bound to asyncio and not used.
"""

import hmac
import ipaddress
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import TypeAlias, cast

from aioice import stun as codec

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError

__all__ = [
    "Attribute",
    "AttributeValue",
    "StunClass",
    "StunMessage",
    "StunMethod",
    "canonical_address",
    "check_integrity",
    "encode",
    "integrity_of",
    "is_stun",
    "is_unicast",
    "parse",
]

HEADER_OCTETS = 20
COOKIE = b"\x21\x12\xa4\x42"
FIRST_OPTIONAL = 0x8000  # RFC 8489 section 14: types from here on may be ignored by who does not know them
_METHOD_BITS = 0x3EEF
_CLASS_BITS = 0x0110


class StunClass(IntEnum):
    """The class, as its two bits stand in the message type (RFC 8489 section 5)."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class StunMethod(IntEnum):
    """Methods of STUN and TURN, as they stand in the message type."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class Attribute(IntEnum):
    """The attributes that are understood (RFC 8489 section 18.3, RFC 8445 section 16.1, RFC 8656 section 18)."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_TRANSPORT = 0x0019
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


AttributeValue: TypeAlias = int | str | bytes | Address | tuple[int, str] | tuple[int, ...] | None

_KNOWN = {int(attribute): attribute for attribute in Attribute}
_TRAILING = (Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT)
_XOR_ADDRESSES = (Attribute.XOR_MAPPED_ADDRESS, Attribute.XOR_PEER_ADDRESS, Attribute.XOR_RELAYED_ADDRESS)
_ADDRESSES = (*_XOR_ADDRESSES, Attribute.MAPPED_ADDRESS)


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One STUN message.

    Attributes:
        method: a `StunMethod`, or the number of one that is not known.
        kind: request, indication, success or error.
        transaction_id: 12 octets.
        attributes: those understood, in order, without MESSAGE-INTEGRITY and FINGERPRINT. Address attributes hold an
            `Address`, ERROR-CODE `(code, reason)`, UNKNOWN-ATTRIBUTES a tuple of types, USE-CANDIDATE None.
        unknown: types of comprehension-required attributes that are not understood.
        integrity: value of MESSAGE-INTEGRITY as received, or None. It proves nothing before `check_integrity`.
        signed: the octets that MESSAGE-INTEGRITY covers.
        fingerprinted: a right FINGERPRINT was there.
    """

    method: int
    kind: StunClass
    transaction_id: bytes
    attributes: Mapping[Attribute, AttributeValue] = field(default_factory=dict)
    unknown: tuple[int, ...] = ()
    integrity: bytes | None = None
    signed: bytes = b""
    fingerprinted: bool = False

    def has(self, attribute: Attribute) -> bool:
        return attribute in self.attributes

    def number(self, attribute: Attribute) -> int | None:
        value = self.attributes.get(attribute)
        return value if isinstance(value, int) else None

    def text(self, attribute: Attribute) -> str | None:
        value = self.attributes.get(attribute)
        return value if isinstance(value, str) else None

    def octets(self, attribute: Attribute) -> bytes | None:
        value = self.attributes.get(attribute)
        return value if isinstance(value, bytes) else None

    def address(self, attribute: Attribute) -> Address | None:
        value = self.attributes.get(attribute)
        return value if isinstance(value, Address) else None

    @property
    def error(self) -> tuple[int, str] | None:
        """ERROR-CODE as (code, reason)."""
        return cast("tuple[int, str] | None", self.attributes.get(Attribute.ERROR_CODE))


def is_stun(data: bytes) -> bool:
    """Whether a datagram is for STUN: first octet 0 to 3 (RFC 7983 section 7), and the magic cookie."""
    return len(data) >= HEADER_OCTETS and data[0] < 4 and data[4:8] == COOKIE


def canonical_address(address: Address) -> Address | None:
    """The address in the one form that is compared here (RFC 5952, no zone); None if it is no IP address."""
    host = _canonical_host(address.host)
    return None if host is None else Address(host, address.port)


@lru_cache(maxsize=1024)  # asked of each datagram that comes or goes, and the hosts are few
def _canonical_host(text: str) -> str | None:
    try:
        host = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(host, ipaddress.IPv6Address) and host.scope_id is not None:
        host = ipaddress.IPv6Address(host.packed)
    return str(host)


def is_unicast(address: Address) -> bool:
    """Whether one host may answer at a canonical address: a candidate elsewhere would turn checks into an attack."""
    host = ipaddress.ip_address(address.host)
    return not (host.is_multicast or host.is_unspecified or address.host == "255.255.255.255")


def parse(data: bytes) -> StunMessage:
    """Reads one datagram. Raises `ParseError` on anything that breaks RFC 8489 sections 5, 6.3 or 14."""
    if len(data) < HEADER_OCTETS:
        raise ParseError("shorter than a STUN header", offset=len(data))
    message_type, length, cookie, transaction_id = struct.unpack_from("!HH4s12s", data)
    if message_type & 0xC000:
        raise ParseError("the first two bits are not zero")
    if length % 4 or length != len(data) - HEADER_OCTETS:
        raise ParseError("the length does not match", offset=2)
    if cookie != COOKIE:
        raise ParseError("no magic cookie", offset=4)
    attributes: dict[Attribute, AttributeValue] = {}
    unknown: list[int] = []
    integrity: bytes | None = None
    signed = b""
    fingerprinted = False
    offset = HEADER_OCTETS
    while offset < len(data):
        if fingerprinted:
            raise ParseError("an attribute follows the FINGERPRINT", offset=offset)
        if offset + 4 > len(data):
            raise ParseError("an attribute is cut short", offset=offset)
        number, size = struct.unpack_from("!HH", data, offset)
        end = offset + 4 + size
        if end + (-size) % 4 > len(data):
            raise ParseError("an attribute runs over the end", offset=offset)
        value = data[offset + 4 : end]
        attribute = _KNOWN.get(number)
        if attribute is Attribute.FINGERPRINT:
            _check_fingerprint(data, offset, value)
            fingerprinted = True
        elif integrity is not None:
            # RFC 8489 section 14.5: "attributes that follow the MESSAGE-INTEGRITY attribute ... MUST be ignored",
            # but for the FINGERPRINT.
            pass
        elif attribute is Attribute.MESSAGE_INTEGRITY:
            if size != 20:
                raise ParseError("MESSAGE-INTEGRITY is not 20 octets", offset=offset)
            integrity, signed = value, data[:offset]
        elif attribute is None:
            if number < FIRST_OPTIONAL:
                unknown.append(number)
        elif attribute not in attributes:
            # RFC 8489 section 14: "only the first occurrence needs to be processed".
            attributes[attribute] = _unpack(attribute, value, transaction_id, offset)
        offset = end + (-size) % 4
    return StunMessage(
        message_type & _METHOD_BITS,
        StunClass(message_type & _CLASS_BITS),
        transaction_id,
        attributes,
        tuple(unknown),
        integrity,
        signed,
        fingerprinted,
    )


def encode(
    message: StunMessage,
    *,
    key: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
    fingerprint: bool = True,
) -> bytes:
    """Writes a message; with `key`, or `sign` which stands for `integrity_of` with a key it holds, adds
    MESSAGE-INTEGRITY; then the FINGERPRINT."""
    body = b"".join(
        _attribute(attribute, _pack(attribute, value, message.transaction_id))
        for attribute, value in message.attributes.items()
        if attribute not in _TRAILING
    )
    data = _header(message, len(body)) + body
    if sign is not None:
        data += _attribute(Attribute.MESSAGE_INTEGRITY, sign(data))
    elif key is not None:
        data += _attribute(Attribute.MESSAGE_INTEGRITY, integrity_of(data, key))
    if fingerprint:
        data += _attribute(Attribute.FINGERPRINT, struct.pack("!I", codec.message_fingerprint(data)))
    return _header(message, len(data) - HEADER_OCTETS) + data[HEADER_OCTETS:]


def integrity_of(data: bytes, key: bytes) -> bytes:
    """MESSAGE-INTEGRITY of the octets before it, whatever length their header says (RFC 8489 section 14.5)."""
    integrity: bytes = codec.message_integrity(data, key)
    return integrity


def check_integrity(message: StunMessage, key: bytes) -> bool:
    """Whether MESSAGE-INTEGRITY is there and right for `key`. Takes the same time wherever it is wrong."""
    if message.integrity is None:
        return False
    return hmac.compare_digest(message.integrity, integrity_of(message.signed, key))


def _header(message: StunMessage, length: int) -> bytes:
    return struct.pack("!HH4s12s", message.method | message.kind, length, COOKIE, message.transaction_id)


def _attribute(attribute: Attribute, value: bytes) -> bytes:
    return struct.pack("!HH", attribute, len(value)) + value + bytes(-len(value) % 4)


def _check_fingerprint(data: bytes, offset: int, value: bytes) -> None:
    expected = struct.pack("!I", codec.message_fingerprint(data[:offset]))
    if not hmac.compare_digest(value, expected):
        raise ParseError("the FINGERPRINT is wrong", offset=offset)


def _unpack(attribute: Attribute, value: bytes, transaction_id: bytes, offset: int) -> AttributeValue:
    try:
        if attribute is Attribute.UNKNOWN_ATTRIBUTES:
            return struct.unpack(f"!{len(value) // 2}H", value)
        unpack = codec.ATTRIBUTES_BY_TYPE[attribute][3]
        if attribute in _ADDRESSES:
            host, port = unpack(value, transaction_id) if attribute in _XOR_ADDRESSES else unpack(value)
            return Address(host, port)
        result: AttributeValue = unpack(value)
        if attribute is Attribute.ERROR_CODE and not (3 <= value[2] <= 6 and value[3] <= 99):
            raise ValueError("class or number out of range")  # RFC 8489 section 14.8
    except (ValueError, struct.error) as error:
        raise ParseError(f"{attribute.name}: {error}", offset=offset) from None
    return result


def _pack(attribute: Attribute, value: AttributeValue, transaction_id: bytes) -> bytes:
    if attribute is Attribute.UNKNOWN_ATTRIBUTES:
        types = cast("tuple[int, ...]", value)
        return struct.pack(f"!{len(types)}H", *types)
    pack = codec.ATTRIBUTES_BY_TYPE[attribute][2]
    packed: bytes = pack(value, transaction_id) if attribute in _XOR_ADDRESSES else pack(value)
    return packed
