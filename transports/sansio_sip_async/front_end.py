"""What opens phones and clients, on whichever event loop."""

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from sansio_sip.context import Context, Entropy
from sansio_sip.machine import RootMachine
from sansio_sip.softphone import Client, Options, Softphone, SoftphoneOptions
from sansio_sip_devices import AudioBackend
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.openssl_crypto import OpenSslCrypto

from .client import ClientHandle
from .phone import Phone
from .runtime import AsyncRuntime

__all__ = ["FrontEnd"]

# Seconds beyond the machine's own deadline for parting.
GRACE = 0.5


class EventLoop(AsyncRuntime, Protocol):
    """An event loop with a driver for it."""

    def now(self) -> float:
        """The loop's time in seconds."""

    def open_driver(
        self,
        machine: RootMachine[Any],
        deliver: Callable[[Any], None],
        *,
        network: Callable[[Any], Any] | None = None,
    ) -> AbstractAsyncContextManager[Any]:
        """Runs a root machine for the length of the block; gives its driver."""


class FrontEnd:
    """The functions of one event loop that a program begins with.

    Each takes `network`: what makes another network than real sockets, given the driver.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop

    @asynccontextmanager
    async def open_softphone(
        self,
        options: SoftphoneOptions | None = None,
        *,
        machine: Softphone | None = None,
        network: Callable[[Any], Any] | None = None,
    ) -> AsyncIterator[Phone]:
        """A phone for the length of the block. On leaving it, calls are hung up and accounts un-registered.

        Cancelling the block does the same, within `SoftphoneOptions.close_timeout`.

        Args:
            machine: a phone with a context of your own: recorded, seeded, with another media engine.
            network: makes another network than real sockets.
        """
        options = options or SoftphoneOptions()
        if machine is None:
            context = self._context()
            machine = Softphone(context, MediaEngine(context, OpenSslCrypto()), options)
        phone = Phone(machine, self._loop)
        async with self._loop.open_driver(machine, phone.deliver, network=network) as phone.driver:
            try:
                yield phone
            finally:
                await phone.aclose(options.close_timeout + GRACE)

    @asynccontextmanager
    async def open_client(
        self,
        options: Options,
        *,
        devices: AudioBackend | None = None,
        machine: Client | None = None,
        network: Callable[[Any], Any] | None = None,
    ) -> AsyncIterator[ClientHandle]:
        """The reference's client for the length of the block. On leaving it, the call is hung up and the user logged
        out.

        Cancellation, and arguments but one, are as for `open_softphone`.

        Args:
            devices: where the audio of calls comes from and goes to; without any the program writes and reads it.
        """
        phone_options = SoftphoneOptions()
        if machine is None:
            context = self._context()
            machine = Client(context, MediaEngine(context, OpenSslCrypto()), options, phone_options)
        client = ClientHandle(machine, self._loop)
        async with self._loop.open_driver(machine, client.deliver, network=network) as client.driver:
            try:
                if devices is not None:
                    await client.use_devices(devices)
                yield client
            finally:
                await client.aclose(phone_options.close_timeout + GRACE)

    def _context(self) -> Context:
        """Real randomness, and Unix time."""
        return Context(Entropy(random.SystemRandom()), unix_offset=time.time() - self._loop.now())
