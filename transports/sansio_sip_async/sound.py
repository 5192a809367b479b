"""Runs the audio devices of a client: performs what it asks of a back end, and tells it what comes of that.

Theory of operation
-------------------
What may block (opening, closing, listing) is done in a thread, never two of them at a time; a file is read in another.
A thread that nobody waits for any more (cancellation) keeps its turn until it is done.

An open microphone has a task that takes what was captured each 20 ms; what is to be played is handed on at once. Each
opening has a number: what becomes of one that is no longer wanted is nobody's business.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sansio_sip.softphone.audio_effects import AudioEffect, CloseDevice, LoadSound, OpenDevice, PlayAudio
from sansio_sip.softphone.client import Client
from sansio_sip.softphone.devices import AudioDevice, Role
from sansio_sip_devices.backend import AudioBackend, DeviceError, Microphone, Speaker
from sansio_sip_devices.media_file import read_medium

from .logger import LOGGER
from .runtime import AsyncRuntime, Bell
from .subscription import Subscription

__all__ = ["SoundBooth"]

T = TypeVar("T")

PIECE = 0.020  # seconds between two looks at a microphone
MAX_LATE = 0.1  # seconds: what a microphone gave before that is not made up for


class SoundBooth:
    """The devices of one client. `start` first, `aclose` last."""

    def __init__(self, machine: Client, backend: AudioBackend, driver: Any, runtime: AsyncRuntime, bell: Bell) -> None:
        self._machine = machine
        self._backend = backend
        self._driver = driver
        self._runtime = runtime
        self._bell = bell
        self._devices: tuple[AudioDevice, ...] = ()
        self._opened: dict[Role, Microphone | Speaker] = {}
        self._openings: dict[Role, int] = {}
        self._fresh: dict[int, Microphone | Speaker] = {}  # opened by a thread, by number, and not yet taken over
        self._serial = 0
        self._busy = False  # a thread is with the back end
        self._closed = False
        self._listeners: WeakKeyDictionary[Subscription[PlayAudio], Role] = WeakKeyDictionary()

    async def start(self) -> None:
        """Tells the client which devices there are. Raises DeviceError where the back end has lost its hardware."""
        self._devices = await self._blocking(self._backend.devices)
        self._driver.feed(self._machine.devices_changed, self._devices)
        self._driver.spawn(self._watch)

    def played(self, role: Role) -> Subscription[PlayAudio]:
        """All that is played from now on in that role."""
        subscription: Subscription[PlayAudio] = Subscription(self._bell)
        self._listeners[subscription] = role
        return subscription

    def perform(self, effect: AudioEffect) -> None:
        """What the client asks for. It does not block, and does not feed the client."""
        if self._closed:
            return
        match effect:
            case OpenDevice(role, device_id):
                self._serial += 1
                self._openings[role] = self._serial
                run = self._run_microphone if role is Role.MICROPHONE else self._open_speaker
                self._driver.spawn(partial(run, role, device_id, self._serial))
            case CloseDevice(role):
                self._openings.pop(role, None)
                if (device := self._opened.pop(role, None)) is not None:
                    self._driver.spawn(partial(self._close, device))
            case PlayAudio(role, samples, rate):
                self._play(effect, role, samples, rate)
            case LoadSound(request, source):
                self._driver.spawn(partial(self._load, request, source))

    async def aclose(self) -> None:
        """Closes all devices."""
        self._closed = True
        self._openings.clear()
        for subscription in self._listeners:
            subscription.close()
        await self._blocking(self._close_all)

    # Microphone

    async def _run_microphone(self, role: Role, device_id: str, opening: int) -> None:
        microphone = await self._open(role, device_id, opening, self._backend.open_microphone)
        if microphone is None:
            return
        last = due = self._driver.now()
        while True:
            due = max(due + PIECE, self._driver.now() - MAX_LATE)
            await self._runtime.sleep(max(0.0, due - self._driver.now()))
            if self._openings.get(role) != opening:
                return  # closed by whoever took it away
            now = self._driver.now()
            try:
                samples = microphone.read(min(now - last, MAX_LATE))
            except DeviceError as error:
                self._lost(role, device_id, error)
                return
            last = now
            if len(samples):
                self._driver.feed(self._machine.microphone_captured, samples, microphone.rate)

    # Speakers

    async def _open_speaker(self, role: Role, device_id: str, opening: int) -> None:
        await self._open(role, device_id, opening, self._backend.open_speaker)

    def _play(self, effect: PlayAudio, role: Role, samples: Any, rate: int) -> None:
        for subscription, wanted in list(self._listeners.items()):
            if wanted is role:
                subscription.put(effect)
        speaker: Any = self._opened.get(role)
        if speaker is None:
            return  # it is being opened
        try:
            speaker.write(samples, rate)
        except DeviceError as error:
            # Not from inside: the client is being asked for its outputs.
            self._driver.spawn(partial(self._lost_soon, role, self._machine.device_in_use(role), error))

    async def _lost_soon(self, role: Role, device_id: str, error: DeviceError) -> None:
        if role in self._opened:
            self._lost(role, device_id, error)

    # Both

    async def _open(self, role: Role, device_id: str, opening: int, opens: Callable[[str], Any]) -> Any:
        """The device, once it is open; None where it cannot be, or is no longer wanted."""
        try:
            device = await self._blocking(partial(self._open_now, opens, device_id, opening))
        except DeviceError as error:
            if self._openings.get(role) == opening:
                self._driver.feed(self._machine.device_lost, role, device_id, error.name)
            return None
        self._fresh.pop(opening, None)
        if self._openings.get(role) != opening:
            await self._close(device)
            return None
        self._opened[role] = device
        self._driver.feed(self._machine.device_opened, role, device_id)
        return device

    def _lost(self, role: Role, device_id: str, error: DeviceError) -> None:
        self._openings.pop(role, None)
        if (device := self._opened.pop(role, None)) is not None:
            self._driver.spawn(partial(self._close, device))
        self._driver.feed(self._machine.device_lost, role, device_id, error.name)

    async def _watch(self) -> None:
        while True:
            await self._runtime.sleep(self._backend.watch_interval)
            try:
                devices = await self._blocking(self._backend.devices)
            except DeviceError:
                devices = ()
            if devices != self._devices:
                self._devices = devices
                self._driver.feed(self._machine.devices_changed, devices)

    async def _load(self, request: int, source: str) -> None:
        try:
            samples, rate = await self._runtime.in_thread(partial(read_medium, source))
        except (OSError, ValueError) as error:
            self._driver.feed(self._machine.sound_failed, request, str(error))
        else:
            self._driver.feed(self._machine.sound_loaded, request, samples, rate)

    async def _close(self, device: Microphone | Speaker) -> None:
        await self._blocking(partial(_close_now, device))

    async def _blocking(self, function: Callable[[], T]) -> T:
        """Runs it in a thread, once no other one is busy."""
        await self._bell.until(lambda: not self._busy)
        self._busy = True
        begun = Lock()  # whoever has it decides: the thread that begins, or we who give up before

        def run() -> T:
            if not begun.acquire(blocking=False):
                raise RuntimeError("nobody waits for this any more")
            try:
                return function()
            finally:
                with suppress(RuntimeError):  # the loop has ended: so has everybody who waits
                    self._driver.call_soon(self._free)

        try:
            return await self._runtime.in_thread(run)
        except BaseException:
            if begun.acquire(blocking=False):
                self._free()
            raise

    def _free(self, *, now: float = 0.0) -> None:
        self._busy = False
        self._bell.ring()

    # In a thread

    def _open_now(self, opens: Callable[[str], Any], device_id: str, opening: int) -> Any:
        device = opens(device_id)
        if self._closed:
            _close_now(device)
            raise DeviceError("AbortError", "the client was closed")
        self._fresh[opening] = device
        return device

    def _close_all(self) -> None:
        tables: tuple[dict[Any, Microphone | Speaker], ...] = (self._opened, self._fresh)
        for table in tables:
            while table:
                _close_now(table.popitem()[1])
        self._backend.close()


def _close_now(device: Microphone | Speaker) -> None:
    """One that does not close well must not keep others open: a file on a full disk, for one."""
    try:
        device.close()
    except (OSError, DeviceError) as error:
        LOGGER.error("an audio device cannot be closed: %s", error)
