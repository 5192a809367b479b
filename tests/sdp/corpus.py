"""The shared corpus of session descriptions, and what is expected of each."""

import json
from dataclasses import dataclass

from shared import require_shared, shared_dir

__all__ = ["REFUSED", "TOLERATED", "Case", "cases", "read"]


@dataclass(frozen=True, slots=True)
class Case:
    file: str
    expect: str
    note: str


# Those that RFC 8866 calls invalid and this parser refuses, with a word of the reason.
REFUSED = {
    "sdp-transform/invalid.sdp": "f= is not allowed",
    "sofia-sip/message-1.sdp": "version",
    "sofia-sip/message-4.sdp": "no s= line",
    "sofia-sip/message-7.sdp": "no s= line",
    "sofia-sip/message-8.sdp": "no s= line",
    "pion-sdp/port-_1.sdp": "port is not a number",
    "pion-sdp/origin-IPv6_missing_address.sdp": "o= has 5 fields",
    "pion-sdp/origin-empty_address_field.sdp": "o= has 5 fields",
    "pion-sdp/origin-invalid_network_type.sdp": "network type",
    "pion-sdp/origin-invalid_address_type.sdp": "address type",
    "pion-sdp/origin-missing_mandatory_username.sdp": "o= has 0 fields",
    "pion-sdp/origin-missing_mandatory_session_ID.sdp": "o= has 1 fields",
    # Media sections alone: pieces of another peer's tests.
    "libwebrtc-fuzz-sdp/unittest-3.sdp": "does not begin with v=",
    "libwebrtc-fuzz-sdp/unittest-6.sdp": "does not begin with v=",
    "libwebrtc-fuzz-sdp/unittest-7.sdp": "does not begin with v=",
}

# Written back otherwise than they came: lines out of order, blank lines at the end, spaces that say nothing.
TOLERATED = {
    "sdp-transform/extmap-encrypt.sdp",
    "sdp-transform/normal.sdp",
    "libwebrtc-fuzz-sdp/55.sdp",
    "pion-sdp/TimeZonesSDP2ExtraCRLF.sdp",
    "pion-sdp/SessionEncryptionKeySDPExtraCRLF.sdp",
    "rfc/rfc5359-25.sdp",
    "rtpengine/GH-1461-offer-0.sdp",
    "rtpengine/GH-1461-offer-1.sdp",
}


def cases() -> list[Case]:
    """All cases; none where the shared material is absent, so that collecting never fails."""
    folder = shared_dir()
    index = folder / "corpus/04-sdp/cases.json" if folder is not None else None
    if index is None or not index.is_file():
        return []
    return [Case(row["file"], row["expect"], row["note"]) for row in json.loads(index.read_text("utf-8"))]


def read(case: Case) -> bytes:
    data = require_shared(f"corpus/04-sdp/{case.file}").read_bytes()
    if case.note.startswith("lines starting with ;"):
        data = b"\n".join(line for line in data.split(b"\n") if not line.startswith(b";"))
    return data
