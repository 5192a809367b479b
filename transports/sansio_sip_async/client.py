"""The reference's client on an event loop: its commands as they are, and ways to hear of its events."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar
from weakref import WeakSet

from sansio_sip.context import Secret
from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import client_events, events
from sansio_sip.softphone.audio_effects import AUDIO_EFFECTS, PlayAudio
from sansio_sip.softphone.client import Client
from sansio_sip.softphone.client_devices import DeviceChoice
from sansio_sip.softphone.client_tones import ToneElement
from sansio_sip.softphone.devices import Role
from sansio_sip_devices.backend import AudioBackend, DeviceError

from .logger import log
from .runtime import AsyncRuntime, Bell
from .sound import SoundBooth
from .subscription import Subscription

__all__ = ["ClientHandle", "FeedbackError"]

T = TypeVar("T")

Handler = Callable[[Any], object]

TokenGenerator = Callable[[], str | Awaitable[str]]
"""Gives an access token each time it is called."""

# Events that a program may expect at each turn of the audio: they are for `on` and `wait_for`, no queue.
FREQUENT = (events.AudioReady, client_events.Volume, client_events.MicrophoneAudio)


class FeedbackError(Exception):
    """Feedback that breaks a rule, or is not wanted; the text is the reference's."""


class ClientHandle:
    """A `Client` on an event loop; made by `open_client`.

    What a command causes is delivered once the task waits, so `client.hangup()` and then
    `await client.wait_for(CallTerminated)` misses nothing.

    Every command of `sansio_sip.softphone.client.Client` is here by its own name, without `now`; it returns what the
    reference's returns, at once. `wait_for`, `events` and `on` tell what comes of it.
    """

    def __init__(self, machine: Client, runtime: AsyncRuntime) -> None:
        self.machine = machine
        self.driver: Any = None
        self._runtime = runtime
        self._bell = Bell(runtime)
        self._subscriptions: WeakSet[Subscription[Any]] = WeakSet()
        self._waiters: list[tuple[tuple[type, ...], list[Any]]] = []
        self._handlers: dict[str, list[tuple[Handler, bool]]] = {}
        self._streams: list[Subscription[client_events.MicrophoneAudio]] = []
        self._generator: TokenGenerator | None = None
        self._booth: SoundBooth | None = None
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        """A command or a question of the machine."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(type(self.machine), name)
        if not callable(found):
            return self._timed(getattr(self.machine, name))
        return self._command(getattr(self.machine, name))

    def _command(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A command at the time at which it is given."""
        timed = "now" in _parameters(method)

        def command(*args: Any, **kwargs: Any) -> Any:
            if not timed:
                return self._timed(method(*args, **kwargs))
            try:
                return method(*args, **kwargs, now=self.driver.now())
            finally:
                self.driver.flush_soon()

        return command

    def _timed(self, value: Any) -> Any:
        """Objects of the machine that have commands of their own."""
        return Timed(value, self._command) if isinstance(value, DeviceChoice | ToneElement) else value

    # Devices

    @property
    def audio(self) -> "ClientHandle":
        """Where the reference has its devices: they are the client's own here."""
        return self

    async def use_devices(self, backend: AudioBackend) -> None:
        """Has the audio of calls come from and go to these. `open_client(devices=...)` does it."""
        self._booth = SoundBooth(self.machine, backend, self.driver, self._runtime, self._bell)
        await self._booth.start()

    async def reveal_audio_devices(self, arg: str | None = None) -> "str | Subscription[client_events.MicrophoneAudio]":
        """Tries the microphone out (reference: revealAudioDevices).

        Args:
            arg: `returnStream`: its sound is wanted, as an async iterator of MicrophoneAudio. Its `aclose` ends it,
                `close_stream` all there are; the microphone is closed with the last.

        Returns:
            `success`, or the iterator. Raises DeviceError.
        """
        if self._booth is None:
            raise DeviceError("NotFoundError", "no back end of audio devices; give one to open_client")
        found: list[client_events.MediaPermission] = []
        waiter = ((client_events.MediaPermission,), found)
        stream: Subscription[client_events.MicrophoneAudio] = Subscription(
            self._bell, left=lambda: self._forget_stream(stream)
        )
        if arg == "returnStream":
            self._streams.append(stream)
        self._waiters.append(waiter)
        try:
            self.machine.reveal_audio_devices(arg, now=self.driver.now())
            self.driver.flush()
            await self._bell.until(lambda: bool(found) or self._closed)
            if not found or found[0].error:
                raise DeviceError(found[0].error if found else "AbortError")
        except BaseException:
            self._forget_stream(stream)  # nobody has it
            raise
        finally:
            self._waiters.remove(waiter)
        return stream if arg == "returnStream" else "success"

    def close_stream(self) -> None:
        """Ends the streams of `reveal_audio_devices`."""
        self.machine.close_stream(now=self.driver.now())
        self.driver.flush_soon()
        self._end_streams()

    def _forget_stream(self, stream: Subscription[client_events.MicrophoneAudio]) -> None:
        """The last one closes the microphone."""
        if stream in self._streams:
            self._streams.remove(stream)
            if not self._streams:
                self.close_stream()

    def played(self, role: Role) -> Subscription[PlayAudio]:
        """All that is played in that role from now on, as an async iterator, besides what the device makes of it.

        Raises DeviceError where there is no back end.
        """
        if self._booth is None:
            raise DeviceError("NotFoundError", "no back end of audio devices; give one to open_client")
        return self._booth.played(role)

    def _end_streams(self) -> None:
        for stream in self._streams:
            stream.close()
        self._streams.clear()
        self._bell.ring()

    # Feedback

    async def submit_call_quality_feedback(
        self,
        call_uuid: str | None,
        star_rating: float | str | None,
        issues: Sequence[str] | None = None,
        note: str | None = None,
        send_console_logs: bool = False,
    ) -> str:
        """Says what a user thinks of a call, and waits until its server has it.

        Raises FeedbackError where a rule is broken, or the server does not want it. Cancelling it stops only the wait.
        """
        waiter: list[Any] = []
        kinds = (client_events.FeedbackSent, client_events.FeedbackFailed)
        row = (kinds, waiter)
        self._waiters.append(row)
        try:
            number = self.machine.submit_call_quality_feedback(
                call_uuid, star_rating, issues, note, send_console_logs, now=self.driver.now()
            )
            self.driver.flush()

            def over() -> Any:
                ends = [each for each in waiter if each.request == number and getattr(each, "retry_in", None) is None]
                return ends[0] if ends else None

            await self._bell.until(lambda: over() is not None or self._closed)
        finally:
            self._waiters.remove(row)
        end = over()
        if not isinstance(end, client_events.FeedbackSent):
            raise FeedbackError(end.reason if end is not None else "the client was closed")
        return "Feedback is sent with console logs" if send_console_logs else "Feedback is sent"

    # Tokens

    def login_with_access_token_generator(self, generator: "TokenGenerator | None") -> bool:
        """Logs in by the tokens that `generator()` gives, now and before each one expires.

        Args:
            generator: plain or `async`; or an object with a method `get_access_token` (reference: getAccessToken).
                What it raises fails the login, or is tried again while the token in use holds.
        """
        get = getattr(generator, "get_access_token", generator)
        if not callable(get):
            return bool(self.login_with_access_token(None))  # reported as what it is: no token
        self._generator = get
        try:
            return self.machine.login_with_access_token_generator(now=self.driver.now())
        finally:
            self.driver.flush_soon()

    async def _fetch_token(self, request: int) -> None:
        assert self._generator is not None
        try:
            found = self._generator()
            token = await found if isawaitable(found) else found
        except Exception as error:
            self.driver.feed(partial(self.machine.token_failed, request, f"{type(error).__name__}: {error}"))
        else:
            self.driver.feed(partial(self.machine.token_provided, request, Secret(token or "")))

    # Events

    def events(self) -> Subscription[Any]:
        """Every event from now on, as an async iterator for `match`."""
        subscription: Subscription[Any] = Subscription(self._bell)
        self._subscriptions.add(subscription)
        return subscription

    async def wait_for(self, *kinds: type[T], timeout: float | None = None) -> T:
        """Waits for the next event of one of these kinds. Cancelling it stops only the wait.

        Raises TimeoutError, and LocalProtocolError where the client is closed by then.
        """
        found: list[T] = []
        waiter = (kinds, found)
        self._waiters.append(waiter)
        try:
            await self._bell.until(lambda: bool(found) or self._closed, timeout)
        finally:
            self._waiters.remove(waiter)
        if not found:
            awaited = ", ".join(kind.__name__ for kind in kinds)
            raise LocalProtocolError(f"cannot wait for {awaited}: the client is closed; open another")
        return found[0]

    def on(self, name: str, handler: Handler) -> None:
        """Has `handler(event)` called at each event of that name, as the reference spells it (`onIncomingCall`).

        It may be `async`: then it runs as a task of its own.
        """
        self._handlers.setdefault(_spelling(name), []).append((handler, False))
        if name == client_events.Volume.name:
            self.watch_volume(True)

    def once(self, name: str, handler: Handler) -> None:
        """`on`, for the next one alone."""
        self._handlers.setdefault(_spelling(name), []).append((handler, True))

    def off(self, name: str, handler: Handler) -> None:
        """Takes a handler away; one that is not there is passed over."""
        name = _spelling(name)
        self._handlers[name] = [row for row in self._handlers.get(name, []) if row[0] != handler]
        if name == client_events.Volume.name and not self._handlers[name]:
            self.watch_volume(False)

    async def aclose(self, patience: float) -> None:
        """Hangs up, un-registers, and waits until that has been said, for up to `patience` seconds."""
        if not self._closed:
            self.close()
            async with self._runtime.last_words(patience):
                await self._bell.until(lambda: self._closed)
        if self._booth is not None:
            async with self._runtime.last_words(patience):
                await self._booth.aclose()

    def deliver(self, event: Any) -> None:
        """An event of the machine; the driver calls it. What a handler raises ends the client."""
        if isinstance(event, AUDIO_EFFECTS):
            if self._booth is not None:
                self._booth.perform(event)
            return
        if isinstance(event, events.Closed):
            self._closed = True
        for subscription in list(self._subscriptions):
            if not isinstance(event, FREQUENT):
                subscription.put(event)
            if self._closed:
                subscription.close()
        for kinds, found in self._waiters:
            if isinstance(event, kinds):
                found.append(event)
        match event:
            case events.LogLine():
                log(event)
            case client_events.MicrophoneAudio():
                for stream in self._streams:
                    stream.put(event)
            case events.Closed():
                self._end_streams()
            case client_events.TokenRequested():
                if self._generator is not None:
                    self.driver.spawn(partial(self._fetch_token, event.request))
            case _:
                pass
        name = _spelling(event.name)
        rows = self._handlers.get(name, [])
        if rows:
            self._handlers[name] = [row for row in rows if not row[1]]
        for handler, _ in rows:
            result = handler(event)
            if isawaitable(result):
                self.driver.spawn(partial(_wait, result))
        self._bell.ring()


class Timed:
    """An object of the machine (`DeviceChoice`, `ToneElement`) whose commands need no time to be given."""

    def __init__(self, value: Any, command: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._value = value
        self._command = command

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._value, name)
        return self._command(found) if callable(found) else found


async def _wait(found: Awaitable[Any]) -> None:
    await found


def _spelling(name: str) -> str:
    """The reference spells `onWebSocketConnected` in two ways; in its names nothing else depends on the case."""
    return name.lower()


def _parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    while hasattr(method, "__wrapped__"):
        method = method.__wrapped__
    code = method.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
