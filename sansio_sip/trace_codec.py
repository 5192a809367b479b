"""How values are written in a trace, and what is left out of it.

JSON has no octets, tuples, enums or dataclasses, so each of these is a small object with one marked key:

    {"b": base64}                         octets                {"e": class, "v": name}         a member of an enum
    {"x": length, "s": is text}           opaque, left out      {"c": class, "f": {...}}        a dataclass
    {"p": length}                         private, left out     {"n": class, "v": [...]}        a named tuple
    {"secret": true}                      a `Secret`            {"d": [[key, value], ...]}      a mapping
    {"array": type, "shape": ..., "data"} an array              a list                          a tuple

What is left out: `Secret`s and `Opaque` octets, always; the response of a digest, access tokens and the keys of
`a=crypto` in any SIP message, plain or in the frames of a WebSocket, always. From a trace of signalling alone also the
payload of RTP, audio, and which digits were pressed. Sizes stay, so that a machine that is run again does the same.
"""

import base64
import dataclasses
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from .context import Audio, Disclosure, Opaque, Private, Secret
from .errors import ParseError

__all__ = ["ArrayBuilder", "TraceCodec", "is_opaque", "redact"]

ArrayBuilder = Callable[[Mapping[str, Any]], Any]

# Fields and arguments that hold digits: a PIN or a card number, typed on a telephone.
DIGIT_FIELDS = frozenset({"digits", "digit", "tone"})
DIGIT = re.compile(r"[0-9*#A-Da-d]")

RESPONSE = re.compile(rb'(?i)(\bresponse\s*=\s*")([0-9a-f]{32,128})(")')

# An access token (`sip.extra_headers`): three parts of base64url.
TOKEN = re.compile(rb"(?im)^(X-Plivo-Jwt[ \t]*:[ \t]*)([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2})")

# RFC 4568 section 9.2: a master key and its salt, in base64. What is left stays as long and as readable.
INLINE_KEY = re.compile(rb"(?i)(\binline:)([a-z0-9+/]+)")

# What a `Secret` is when a trace is read. Not empty: a machine may ask whether it was given one.
PLACEHOLDER = "not in the trace"

RTP_HEADER = 12

# The octets of a telephone-event packet (RFC 4733 section 2.3): a header and four octets, the first says which key.
TELEPHONE_EVENT = 16


class TraceCodec:
    """Writes and reads values.

    Args:
        full: audio and digits are kept.
        array: makes an array from its row.
    """

    def __init__(self, *, full: bool, array: ArrayBuilder | None = None) -> None:
        self._full = full
        self._array = array

    def encode_fields(self, fields: Mapping[str, object]) -> dict[str, Any]:
        """Named values; those that hold digits are masked unless the trace is a full one."""
        # `SendStream` and `receive_stream`: RTP is never there, and a WebSocket's first octet looks like it.
        on_stream = "flow" in fields and fields.keys().isdisjoint(("source", "destination"))
        return {name: self._encode_field(name, value, on_stream) for name, value in fields.items()}

    def decode_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.decode(value) for name, value in fields.items()}

    def encode_answer(self, value: object, disclosure: Disclosure) -> Any:
        """What an oracle has said. Whether it is private, it says itself: a hash may begin like RTP, and is none."""
        if type(value) is bytes and disclosure is Disclosure.PLAIN:
            return {"b": _text(redact(value))}
        return self.encode(value, disclosure)

    def encode(self, value: object, disclosure: Disclosure = Disclosure.PLAIN) -> Any:
        """A JSON value. Raises TypeError for what no machine should take or give."""
        match value:
            case Enum():
                return {"e": _class_name(value), "v": value.name}
            case None | bool() | int() | float():
                return value
            case str():
                return {"x": len(value), "s": True} if disclosure is Disclosure.OPAQUE else str(value)
            case bytes():
                return self._encode_octets(value, disclosure)
            case Secret():
                return {"secret": True}
            case Mapping():
                return {"d": [[self.encode(key), self.encode(value[key])] for key in value]}
            case tuple() if hasattr(value, "_fields"):
                return {"n": _class_name(value), "v": [self.encode(each, disclosure) for each in value]}
            case tuple() | list():
                return [self.encode(each, disclosure) for each in value]
            case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
                fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init}
                return {"c": _class_name(value), "f": self.encode_fields(fields)}
            case _ if hasattr(value, "__array_interface__"):
                return self._encode_array(value, disclosure)
            case _:
                raise TypeError(f"{type(value).__name__} has no place in a trace")

    def decode(self, row: Any) -> Any:
        """The value of a JSON value. Raises ParseError."""
        if isinstance(row, list):
            return tuple(self.decode(each) for each in row)
        if not isinstance(row, dict):
            return row
        try:
            return self._decode_object(row)
        except (KeyError, ValueError, TypeError, AttributeError, ImportError) as error:
            raise ParseError(f"a value of the trace cannot be read ({error})") from None

    def _decode_object(self, row: Mapping[str, Any]) -> Any:
        if "b" in row:
            return base64.b64decode(row["b"])
        if "x" in row:
            return "0" * row["x"] if row.get("s") else Opaque(row["x"])
        if "p" in row:
            return Private(row["p"])
        if "e" in row:
            return _find_class(row["e"], Enum)[row["v"]]
        if "c" in row:
            return _find_class(row["c"], object)(**self.decode_fields(row["f"]))
        if "n" in row:
            return _find_class(row["n"], tuple)(*(self.decode(each) for each in row["v"]))
        if "d" in row:
            return {self.decode(key): self.decode(value) for key, value in row["d"]}
        if "array" in row:
            if self._array is None:
                raise ParseError("the trace holds audio, and there is nothing to make arrays with")
            return self._array(row)
        if "secret" in row:
            return Secret(PLACEHOLDER)
        raise ValueError(f"keys {sorted(row)}")

    def _encode_field(self, name: str, value: object, on_stream: bool) -> Any:
        if name in DIGIT_FIELDS and isinstance(value, str) and not self._full:
            return DIGIT.sub("0", value)
        if on_stream and type(value) is bytes:
            return {"b": _text(redact(value))}
        return self.encode(value)

    def _encode_octets(self, value: bytes, disclosure: Disclosure) -> Any:
        if isinstance(value, Opaque) or disclosure is Disclosure.OPAQUE:
            return {"x": len(value)}
        # Audio may begin like a packet of RTP, and is none.
        if not self._full and not isinstance(value, Audio) and _looks_like_rtp(value):
            return {"b": _text(_mask_rtp(value))}
        if not self._full and (isinstance(value, Private) or disclosure is Disclosure.PRIVATE):
            return {"p": len(value)}
        return {"b": _text(redact(value))}

    def _encode_array(self, value: Any, disclosure: Disclosure) -> dict[str, Any]:
        row = {"array": str(value.dtype), "shape": list(value.shape)}
        if disclosure is Disclosure.OPAQUE or not self._full:
            return row  # as large as it was, and silent
        return {**row, "data": _text(value.tobytes())}


def is_opaque(row: Any) -> bool:
    """Whether something was left out of an encoded value because it can never come again."""
    if isinstance(row, list):
        return any(is_opaque(each) for each in row)
    if isinstance(row, dict):
        return "x" in row or any(is_opaque(each) for each in row.values())
    return False


def redact(data: bytes) -> bytes:
    """SIP with digest responses blanked out; in WebSocket frames too, where the octets are whole frames."""
    if data[:1] in (b"\x81", b"\x82"):
        return _redact_frames(data)
    return _redact_text(data)


def _redact_text(data: bytes) -> bytes:
    if b"-Jwt" in data:
        data = TOKEN.sub(lambda match: match[1] + b"0" * len(match[2]), data)
    if b"nline:" in data:
        data = INLINE_KEY.sub(lambda match: match[1] + b"0" * len(match[2]), data)
    if b"esponse" not in data:
        return data
    return RESPONSE.sub(lambda match: match[1] + b"0" * len(match[2]) + match[3], data)


def _redact_frames(data: bytes) -> bytes:
    """Walks frames of RFC 6455 section 5.2; what is no whole frame stays as it is."""
    out, rest = bytearray(), data
    while len(rest) >= 2:
        length, start = rest[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(rest[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(rest[2:10], "big"), 10
        masked = bool(rest[1] & 0x80)
        mask = rest[start : start + 4] if masked else b"\0\0\0\0"
        start += 4 if masked else 0
        payload = rest[start : start + length]
        if len(payload) < length or len(mask) < 4:
            break
        out += rest[:start] + _xor(_redact_text(_xor(payload, mask)), mask)
        rest = rest[start + length :]
    return bytes(out) + _redact_text(rest)


def _xor(data: bytes, mask: bytes) -> bytes:
    if not any(mask):
        return data
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def _looks_like_rtp(data: bytes) -> bool:
    """RFC 7983: 128 to 191 in the first octet; RFC 5761: RTCP has 192 to 223 in the second."""
    return len(data) >= RTP_HEADER and 128 <= data[0] <= 191 and not 192 <= data[1] <= 223


def _mask_rtp(data: bytes) -> bytes:
    """Header and size stay; of a telephone-event the time course stays too, but not which key it was."""
    if len(data) == TELEPHONE_EVENT:
        return data[:RTP_HEADER] + b"\0" + data[RTP_HEADER + 1 :]
    return data[:RTP_HEADER] + bytes(len(data) - RTP_HEADER)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _class_name(value: object) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _find_class(name: str, base: type) -> Any:
    """A class of this project by name: a trace is data, so it can name nothing else."""
    module, _, path = name.partition(":")
    if module.partition(".")[0] not in ("sansio_sip", "sansio_sip_media"):
        raise ValueError(f"class {name}")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    allowed: Sequence[bool] = (dataclasses.is_dataclass(found), base is not object and issubclass(found, base))
    if not isinstance(found, type) or not any(allowed):
        raise ValueError(f"class {name}")
    return found
