"""`parse`: whether a file is a valid SIP message or SDP, and what a user agent would answer."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sansio_sip.errors import ParseError
from sansio_sip.sdp.parser import parse_description
from sansio_sip.sip.verdict import judge

from .capture import SUFFIXES, sip_in
from .exit_status import DONE, FAILED

__all__ = ["parse"]


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE|-]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def parse(files: tuple[str, ...], as_json: bool) -> int:
    """Judge one SIP message a FILE, or SDP where its name ends in .sdp, or all SIP in .pcap and
    .pcapng;
    `-` and nothing: standard input."""
    everything = True
    for row in _rows(files or ("-",)):
        name = row["file"]
        valid = row["verdict"] == "valid"
        everything = everything and valid
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
        elif valid:
            print(f"{name}: valid {row['kind']}")
        else:
            print(f"{name}: invalid {row['status'] or 'drop'} {row['reason']} (offset {row['offset']})")
    return DONE if everything else FAILED


def _rows(names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name in names:
        try:
            if name.endswith(SUFFIXES):
                for found in sip_in(Path(name)):
                    data = found.data
                    verdict = _invalid("", data, 400) if isinstance(data, ParseError) else _judge_sip(data)
                    yield {"file": f"{name}#{found.number}", **verdict}
                continue
            data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as error:
            raise click.UsageError(f"cannot read {name}: {error.strerror}; give a file that exists") from None
        yield {"file": name, **(_judge_sdp(data) if name.endswith(".sdp") else _judge_sip(data))}


def _judge_sip(data: bytes) -> dict[str, Any]:
    verdict = judge(data)
    return {
        "verdict": verdict.verdict,
        "kind": verdict.kind,
        "status": verdict.status,
        "reason": verdict.reason,
        "offset": verdict.offset,
        "ua_status": verdict.ua_status,
        "ua_reason": verdict.ua_reason,
    }


def _judge_sdp(data: bytes) -> dict[str, Any]:
    try:
        parse_description(data)
    except ParseError as error:
        return _invalid("sdp", error, 488)
    return {"verdict": "valid", "kind": "sdp", "status": None, "reason": "", "offset": None}


def _invalid(kind: str, error: ParseError, status: int) -> dict[str, Any]:
    return {
        "verdict": "invalid",
        "kind": kind,
        "status": error.status or status,
        "reason": error.reason,
        "offset": error.offset,
    }
