"""Puts a phone together: the machine, the media engine, real randomness and, asked for, a recorder."""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from sansio_sip.context import Context, Entropy
from sansio_sip.machine import RootMachine
from sansio_sip.server import Server, ServerOptions
from sansio_sip.softphone.options import SoftphoneOptions
from sansio_sip.softphone.softphone import Softphone
from sansio_sip.trace import ReplayReport, TraceWriter, replay
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.engine import MediaEngine

__all__ = ["Recording", "build_engine", "build_phone", "build_server", "rebuild", "replay_file"]


class Recording:
    """A trace file that any number of machines write to."""

    def __init__(self, path: Path, *, full: bool = False) -> None:
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"cannot write the trace {path}: {error.strerror}; give a writable path") from None
        self.writer = TraceWriter(self._file.write, full=full)

    def close(self) -> None:
        self._file.close()


def _context(
    recording: Recording | None, name: str, kind: str, options: Mapping[str, object], seed: int | None
) -> Context:
    # A seed makes our own draws repeatable; keys and nonces of a real call must never come from one.
    source = random.SystemRandom() if seed is None else random.Random(f"{seed}/{name}")
    unix_offset = time.time() - time.monotonic()
    if recording is None:
        return Context(Entropy(source), unix_offset=unix_offset)
    return recording.writer.machine(name, kind, options).context(source, unix_offset)


def build_phone(
    name: str = "phone",
    *,
    recording: Recording | None = None,
    options: SoftphoneOptions | None = None,
    seed: int | None = None,
    media: Callable[[Context], MediaEngine] | None = None,
) -> Softphone:
    """A phone with OpenSSL, libsrtp and libopus under it, unless `media` makes another engine."""
    options = options or SoftphoneOptions()
    context = _context(recording, name, "softphone", {"options": options}, seed)
    return Softphone(context, (media or build_engine)(context), options)


def build_engine(context: Context | None = None) -> MediaEngine:
    """A media engine, with a phone or without."""
    from sansio_sip_media.openssl_crypto import OpenSslCrypto  # here, so that a replay does without these libraries

    return MediaEngine(context or _context(None, "engine", "engine", {}, None), OpenSslCrypto())


def build_server(
    options: ServerOptions, *, name: str = "server", recording: Recording | None = None, seed: int | None = None
) -> Server:
    return Server(_context(recording, name, "server", {"options": options}, seed), options)


def rebuild(kind: str, options: Mapping[str, Any], context: Context) -> RootMachine[Any]:
    """A machine of a trace, to be run again without OpenSSL, libsrtp and libopus: the trace answers for them."""
    if kind == "server":
        return Server(context, options["options"])
    return Softphone(context, MediaEngine(context, None), options["options"])


def replay_file(path: Path) -> ReplayReport:
    """Runs a trace again, without sockets and clocks."""
    with path.open(encoding="utf-8") as lines:
        return replay(lines, rebuild, array=rebuild_array)
