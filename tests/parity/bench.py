"""The embedded server and clients of it on loopback sockets, on either event loop."""

import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import jwt

import sansio_sip_asyncio.client
import sansio_sip_asyncio.driver
import sansio_sip_trio.client
import sansio_sip_trio.driver
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.server import Server, ServerOptions
from sansio_sip.server.events import ServerListening
from sansio_sip.softphone import MediaProfile, Options, events

__all__ = ["DOMAIN", "DRIVERS", "PATIENCE", "USERS", "bench", "call_between", "token"]

FRONTS = {"asyncio": sansio_sip_asyncio.client, "trio": sansio_sip_trio.client}
DRIVERS = {"asyncio": sansio_sip_asyncio.driver, "trio": sansio_sip_trio.driver}
DOMAIN = "example.invalid"
PATIENCE = 10.0
USERS = {"alice": "wonder", "bob": "builder", "carol": "christmas", "dave": "diver"}
KEY = "k" * 40


def token(subject: str = "alice", *, life: float = 3600.0, **change: Any) -> str:
    """An access token that the server of a bench takes."""
    unix = time.time()
    voice = {"incoming_allow": True, "outgoing_allow": True}
    claims = {"iss": "MA1", "sub": subject, "nbf": unix - 60, "exp": unix + life, "per": {"voice": voice}}
    return jwt.encode({**claims, **change}, KEY, algorithm="HS256")


class Bench:
    """Attributes: `server` is the server's machine, which tells what it has seen; `driver` runs it."""

    def __init__(self, runtime: Any, server: Server, driver: Any, url: str, stack: AsyncExitStack) -> None:
        self.runtime = runtime
        self.server = server
        self.driver = driver
        self.url = url
        self._stack = stack

    async def client(self, *, network: Any = None, **options: Any) -> Any:
        """A client that nobody has logged in at. `network`: as for `open_client`."""
        plain = {"profiles": (MediaProfile.RTP,), "codecs": ("pcmu",)}
        made = Options(domain=DOMAIN, servers=(self.url,), **{**plain, **options})
        return await self._stack.enter_async_context(FRONTS[self.runtime.name].open_client(made, network=network))

    async def users(self, *users: str, **options: Any) -> list[Any]:
        """Clients whose users are logged in."""
        clients = []
        for user in users:
            client = await self.client(**options)
            assert client.login(user, USERS[user])
            await client.wait_for(events.Login, timeout=PATIENCE)
            clients.append(client)
        return clients


@asynccontextmanager
async def bench(runtime: Any, *, users: Mapping[str, str] = USERS, **options: Any) -> AsyncIterator[Bench]:
    machine = Server(
        Context(Entropy(random.Random(7)), unix_offset=time.time()),
        ServerOptions(
            domain=DOMAIN,
            listen=("ws://127.0.0.1:0",),
            users={user: Secret(password) for user, password in users.items()},
            token_issuers={"MA1": Secret(KEY)},
            **options,
        ),
    )
    found: list[str] = []
    bell = runtime.Event()

    def deliver(event: Any) -> None:
        if isinstance(event, ServerListening):
            found.append(event.url)
            bell.set()

    async with DRIVERS[runtime.name].open_driver(machine, deliver) as driver:
        machine._context.unix_offset = time.time() - driver.now()
        await runtime.within(PATIENCE, bell.wait)
        async with AsyncExitStack() as stack:
            yield Bench(runtime, machine, driver, found[0], stack)


async def call_between(caller: Any, callee: Any, target: str = "bob", **headers: str) -> None:
    """Calls, answers, and waits until both have heard of it."""
    ringing, answered = Next(callee, events.IncomingCall), Next(caller, events.CallAnswered)
    confirmed = Next(callee, events.CallAnswered)
    assert caller.call(target, headers)
    await ringing
    assert callee.answer()
    await answered
    await confirmed


class Next:
    """The next event of a kind, looked for from now on, to be awaited later."""

    def __init__(self, client: Any, *kinds: type) -> None:
        self._kinds = kinds
        self._events = client.events()

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        async for event in self._events:
            if isinstance(event, self._kinds):
                return event
        raise AssertionError(f"the client ended without {self._kinds}")
