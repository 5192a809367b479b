"""A trace of any lines is run again, or refused with ParseError; it names no class but ours, and reaches no socket."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sansio_sip.context import Context
from sansio_sip.errors import ParseError
from sansio_sip.machine import RootMachine
from sansio_sip.server import Server
from sansio_sip.softphone.softphone import Softphone
from sansio_sip.trace import replay
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.engine import MediaEngine

HEAD = ('{"trace":1,"full":true}', '{"m":"a","kind":"server","options":{"d":[]},"unix":0}')


def build(kind: str, options: Mapping[str, Any], context: Context) -> RootMachine[Any]:
    return Server(context) if kind == "server" else Softphone(context, MediaEngine(context, None))


def one(data: bytes) -> None:
    lines = data.decode("utf-8", "replace").splitlines()
    for text in (lines, [*HEAD, *lines]):
        with suppress(ParseError):  # the only exception allowed
            report = replay(text, build, array=rebuild_array)
            assert len(report.differences) <= min(report.different, report.SHOWN)
