"""Our phone on real sockets and a SIPp that plays a scenario against it: one row of the scenario table at a time."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from interop.peers import free_port
from interop.sipp_scenario import Seen, read_log, scenario

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import AccountOptions
from sansio_sip_async.call import Call, CallError
from sansio_sip_async.phone import Account, Phone
from sansio_sip_asyncio.client import open_softphone

__all__ = ["LONG", "SHORT", "Look", "Play", "Row", "Stage", "line", "number", "one", "play", "received", "version"]

T = TypeVar("T")

HOST = "127.0.0.1"
LONG = 60.0  # seconds: 64*T1, or half of the shortest session, and what comes before and after
SHORT = 12.0


class Stage:
    """Our phone, as a row plays it."""

    def __init__(self, phone: Phone, account: Account) -> None:
        self.phone = phone
        self.account = account
        self.incoming = account.incoming()
        self.said: list[Any] = []
        self._events = phone.events()

    async def listen(self) -> None:
        async for event in self._events:
            self.said.append(event)

    def heard(self, kind: type[T]) -> list[T]:
        return [event for event in self.said if isinstance(event, kind)]

    async def until(self, condition: Callable[[], Any], patience: float = SHORT) -> None:
        async with asyncio.timeout(patience):
            while not condition():  # noqa: ASYNC110  # some of it is told by nobody: whether SIPp is bound
                await asyncio.sleep(0.02)

    async def nap(self, seconds: float) -> None:
        """For what SIPp does meanwhile, and we cannot see."""
        await asyncio.sleep(seconds)

    async def ringing(self) -> Call:
        async with asyncio.timeout(SHORT):
            return await anext(aiter(self.incoming))

    def call(self) -> Call:
        return self.account.call("sipp")

    async def talking(self) -> Call:
        call = self.call()
        await call.answered(SHORT)
        return call


Play = Callable[[Stage], Awaitable[None]]
Look = Callable[[list[Seen]], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what SIPp does, what our phone does, what SIPp must have seen.

    Attributes:
        patience: seconds for SIPp to come to its end after the phone has come to its own.
        calls: SIPp begins.
    """

    steps: tuple[str, ...]
    play: Play
    look: Look = lambda _seen: None
    options: Mapping[str, Any] = field(default_factory=dict)
    patience: float = SHORT
    calls: bool = False

    def by_sipp(self) -> "Row":
        return replace(self, calls=True)


async def play(row: Row, transport: str, folder: Path) -> str:
    """Plays a row; what went wrong, empty where nothing did."""
    _prepare(folder, row)
    sipp = free_port(socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
    options = {"profiles": (MediaProfile.RTP,), "codecs": ("pcmu",), "bind": Address(HOST, 0), **row.options}
    if not row.calls:
        options["servers"] = (f"{transport}://{HOST}:{sipp}",)
    command = ["sipp", "-sf", "row.xml", "-i", HOST, "-p", str(sipp), "-t", f"{transport[0]}1", "-m", "1", "-nostdin"]
    command += ["-mi", HOST, "-mp", str(free_port(socket.SOCK_DGRAM) & ~1)]
    command += ["-trace_err", "-error_file", "errors.txt", "-trace_msg", "-message_file", "log.txt"]
    command += ["-timeout", "80s", "-timeout_error", "-default_behaviors", "all,-bye"]
    wrong = ""
    async with open_softphone() as phone:
        account = phone.add_account(AccountOptions(f"sip:alice@{HOST}", **options))
        stage = Stage(phone, account)
        listening = asyncio.create_task(stage.listen())
        if row.calls:
            address = await account.connected(SHORT)
            await stage.until(lambda: _is_bound(address.port, transport))
            command.append(f"{HOST}:{address.port}")
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            if not row.calls:
                await stage.until(lambda: _is_bound(sipp, transport))
                await account.connected(SHORT)
            await row.play(stage)
        except (AssertionError, CallError, LocalProtocolError, TimeoutError) as error:
            wrong = f"phone: {type(error).__name__} {error}; it said {[type(event).__name__ for event in stage.said]}"
        try:
            async with asyncio.timeout(1.0 if wrong else row.patience):
                code = await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            code = await process.wait()
        listening.cancel()
    seen, errors = _written(folder)
    if code or wrong:
        flow = [f"{'<' if each.sent else '>'} {each.name}" for each in seen]
        return f"{wrong}\nSIPp ended with {code}: {errors}\nflow: {flow}"
    try:
        row.look(seen)
    except AssertionError as error:
        return f"SIPp has seen what it should not: {error}"
    return ""


def _prepare(folder: Path, row: Row) -> None:
    folder.mkdir(parents=True)
    (folder / "row.xml").write_text(scenario(row.steps), encoding="latin-1")


def _written(folder: Path) -> tuple[list[Seen], str]:
    """SIPp's log, and what it has complained of."""
    log, errors = folder / "log.txt", folder / "errors.txt"
    return (
        read_log(log) if log.exists() else [],
        errors.read_text(errors="replace")[:800] if errors.exists() else "",
    )


def _is_bound(port: int, transport: str) -> bool:
    """Whether somebody listens there."""
    rows = Path(f"/proc/net/{transport}").read_text().splitlines()[1:]
    fields = [row.split() for row in rows]
    return any(row[1].endswith(f":{port:04X}") and (transport == "udp" or row[3] == "0A") for row in fields)


# What SIPp has seen


def received(seen: list[Seen], name: str) -> list[Seen]:
    """The messages of that name that SIPp has got, copies too."""
    return [each for each in seen if not each.sent and each.name == name]


def one(seen: list[Seen], name: str) -> Seen:
    """The only message of that name, copies left out."""
    found = received(seen, name)
    assert found, f"no {name}"
    assert all(each == found[0] for each in found), f"several {name} that differ"
    return found[0]


def number(message: Seen) -> int:
    return int(message.get("CSeq").split()[0])


def line(message: Seen, start: str) -> str:
    """The first line of a description that begins so."""
    return next((row for row in message.body.split("\n") if row.startswith(start)), "")


def version(message: Seen) -> int:
    return int(line(message, "o=").split()[2])
