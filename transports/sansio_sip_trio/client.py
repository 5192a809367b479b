"""Phones and clients on trio. See `sansio_sip_asyncio.client`: the same names in the same order."""

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from sansio_sip.context import Context, Entropy
from sansio_sip.softphone import Client, Options, Softphone, SoftphoneOptions
from sansio_sip_async import ClientHandle, Phone
from sansio_sip_devices import AudioBackend
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.openssl_crypto import OpenSslCrypto

from .driver import Driver, Network, open_driver

__all__ = ["open_client", "open_softphone"]

T = TypeVar("T")

# Seconds beyond the machine's own deadline for parting.
GRACE = 0.5


class Runtime:
    """See `sansio_sip_async.runtime.AsyncRuntime`."""

    def event(self) -> trio.Event:
        return trio.Event()

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[None]:
        try:
            with trio.fail_after(float("inf") if seconds is None else seconds):
                yield
        except trio.TooSlowError:
            raise TimeoutError from None

    @asynccontextmanager
    async def last_words(self, seconds: float) -> AsyncIterator[None]:
        with trio.move_on_after(seconds, shield=True):
            yield

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def in_thread(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


RUNTIME = Runtime()


def _context() -> Context:
    """Real randomness, and Unix time."""
    return Context(Entropy(random.SystemRandom()), unix_offset=time.time() - trio.current_time())


@asynccontextmanager
async def open_softphone(
    options: SoftphoneOptions | None = None,
    *,
    machine: Softphone | None = None,
    network: Callable[[Driver[Any]], Network] | None = None,
) -> AsyncIterator[Phone]:
    """A phone for the length of the block. On leaving it, calls are hung up and accounts un-registered.

    Cancelling the block does the same, within `SoftphoneOptions.close_timeout`.

    Args:
        machine: a phone with a context of your own: recorded, seeded, with another media engine.
        network: makes another network than real sockets.
    """
    options = options or SoftphoneOptions()
    if machine is None:
        context = _context()
        machine = Softphone(context, MediaEngine(context, OpenSslCrypto()), options)
    phone = Phone(machine, RUNTIME)
    async with open_driver(machine, phone.deliver, network=network) as phone.driver:
        try:
            yield phone
        finally:
            await phone.aclose(options.close_timeout + GRACE)


@asynccontextmanager
async def open_client(
    options: Options,
    *,
    devices: AudioBackend | None = None,
    machine: Client | None = None,
    network: Callable[[Driver[Any]], Network] | None = None,
) -> AsyncIterator[ClientHandle]:
    """The reference's client for the length of the block. On leaving it, the call is hung up and the user logged out.

    Cancellation, and arguments but one, are as for `open_softphone`.

    Args:
        devices: where the audio of calls comes from and goes to; without any the program writes and reads it.
    """
    phone_options = SoftphoneOptions()
    if machine is None:
        context = _context()
        machine = Client(context, MediaEngine(context, OpenSslCrypto()), options, phone_options)
    client = ClientHandle(machine, RUNTIME)
    async with open_driver(machine, client.deliver, network=network) as client.driver:
        try:
            if devices is not None:
                await client.use_devices(devices)
            yield client
        finally:
            await client.aclose(phone_options.close_timeout + GRACE)
