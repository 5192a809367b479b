"""The server and two phones on real sockets: each transport, both families of addresses, both runtimes."""

import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from drivers.certificates import write_certificate
from drivers.runtimes import RUNTIMES
from server.phone import Phone

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.server import BindingAdded, Server, ServerListening, ServerOptions
from sansio_sip.sip.call_events import CallConfirmed, CallEnded, IncomingCall
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone.account_outputs import LoggedIn, LoggedOut
from sansio_sip.softphone.options import AccountOptions

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)

# Far longer than anything here takes: it turns a hang into a failure.
PATIENCE = 20.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


class Witness:
    """Collects what a machine says, and wakes whoever waits for a part of it."""

    def __init__(self, runtime: Any) -> None:
        self.seen: list[Any] = []
        self._runtime = runtime
        self._bell = runtime.Event()

    def __call__(self, event: Any) -> None:
        self.seen.append(event)
        self._bell.set()
        self._bell = self._runtime.Event()

    async def until(self, kind: type, condition: Callable[[Any], bool] = lambda _: True) -> Any:
        async def wait() -> Any:
            while not (found := [event for event in self.seen if isinstance(event, kind) and condition(event)]):
                await self._bell.wait()
            return found[0]

        return await self._runtime.within(PATIENCE, wait)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "ws", "wss"])
def test_register_call_and_part(runtime: Any, transport: str, host: str, certificate: tuple[Path, Path]) -> None:
    async def main() -> None:
        users = {name: Secret(f"pw-{name}") for name in ("alice", "bob")}
        server = Server(
            Context(Entropy(random.Random(1))),
            ServerOptions(
                domain="example.com",
                listen=(f"{transport}://{host}:0",),
                certificate_file=str(certificate[0]),
                key_file=str(certificate[1]),
                users=users,
            ),
        )
        async with AsyncExitStack() as stack:
            said = Witness(runtime)
            await stack.enter_async_context(runtime.driver.open_driver(server, said))
            url = (await said.until(ServerListening)).url
            phones = {}
            for number, name in enumerate(users):
                options = AccountOptions(
                    f"sip:{name}@example.com", password=users[name], servers=(url,), ca_file=str(certificate[0])
                )
                phone = Phone(Context(Entropy(random.Random(number))), options)
                witness = Witness(runtime)
                driver = await stack.enter_async_context(runtime.driver.open_driver(phone, witness))
                driver.feed(phone.login)
                await witness.until(LoggedIn)
                phones[name] = phone, witness, driver
            added = [event.transport for event in said.seen if isinstance(event, BindingAdded)]
            assert added == [transport.upper()] * 2
            alice, heard, driver = phones["alice"]
            bob, bobs, _ = phones["bob"]
            driver.feed(lambda *, now: alice.call(SipUri("example.com", "bob"), now=now))
            assert (await bobs.until(IncomingCall)).caller.uri == SipUri("example.com", "alice")
            await bobs.until(CallConfirmed)
            driver.feed(alice.hangup)
            await heard.until(CallEnded)
            await bobs.until(CallEnded)
            assert bob.ended == [("remote", 200)]
            driver.feed(alice.logout)
            await heard.until(LoggedOut)

    runtime.run(main)


@pytest.mark.parametrize("transport", ["tls", "wss"])
def test_a_server_without_a_readable_certificate_says_so(runtime: Any, transport: str) -> None:
    async def main() -> None:
        options = ServerOptions(
            listen=(f"{transport}://127.0.0.1:0",), certificate_file="/nowhere/c.pem", key_file="/nowhere/k.pem"
        )
        said = Witness(runtime)
        async with runtime.driver.open_driver(Server(Context(Entropy(random.Random(1))), options), said):
            failed = await said.until(object)
            assert "No such file" in failed.reason

    runtime.run(main)
