"""Two phones and a server in a world: real machines on a simulated network, and what a test asks of them.

Everything follows from one seed. DTLS and SRTP are those of `SeededCrypto`: the flights, sizes and states of the real
ones. A `TraceWriter` given to the network has every machine recorded.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import RootMachine
from sansio_sip.server import Server, ServerOptions
from sansio_sip.simulation import Link, World
from sansio_sip.simulation.nat import Nat
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import AccountId, CallUuid
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import AccountOptions, SoftphoneOptions
from sansio_sip.softphone.softphone import Softphone
from sansio_sip.trace import TraceWriter
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

__all__ = ["ENDS", "RATE", "SIP_UDP", "SIP_WS", "Network", "Phone", "build", "pitch", "tone"]

EventT = TypeVar("EventT")
Int16 = npt.NDArray[np.int16]

DOMAIN, SERVER_HOST = "example.com", "10.0.0.9"
HOSTS = {"alice": "10.0.0.1", "bob": "10.0.0.2", "carol": "10.0.0.3"}
USERS = {name: Secret(f"{name}'s password") for name in HOSTS}
SIP_UDP, SIP_WS = f"udp://{SERVER_HOST}:5060", f"ws://{SERVER_HOST}:8080"

# The three ways in which a call may end; each call has exactly one of them at each end.
ENDS = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled)

# The three ways in which a call may begin; one of them each.
BEGINNINGS = (events.Calling, events.IncomingCall, events.CallReplaced)

RATE = 8000  # Hz, of what is said and heard

UNIX_OFFSET = 1_700_000_000.0


class Phone:
    """A softphone with one account on a host of its own. Commands are given at the time of the world."""

    def __init__(self, network: "Network", name: str, options: AccountOptions, nat: Nat | None = None) -> None:
        self.network = network
        self.name = name
        context = network.context(name, "softphone", {"options": SoftphoneOptions()})
        self.machine = Softphone(context, MediaEngine(context, SeededCrypto(f"{network.seed}/{name}")))
        self.heard: list[Int16] = []
        network.world.add(name, self.machine, HOSTS[name], nat=nat)
        network.world.on_output(name, self._on_output)
        self.account: AccountId = self.do(self.machine.add_account, options)

    def do(self, command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.network.world.do(self.name, command, *args, **kwargs)

    def said(self, *kinds: type[EventT]) -> list[EventT]:
        """The events of these kinds, oldest first."""
        return list(self.network.world.outputs(self.name, *kinds))

    # Commands

    def login(self, patience: float = 40.0) -> bool:
        """Logs in; asks again, as a person would, when the server did not answer."""
        for attempt in range(1, 4):
            self.do(self.machine.login, self.account)
            self.network.wait(partial(self._knows_by, attempt), patience)
            if self.is_logged_in:
                return True
        return False

    def _knows_by(self, attempt: int) -> bool:
        """Whether the login has succeeded, or failed so many times."""
        return self.is_logged_in or len(self.said(events.LoginFailed)) >= attempt

    def call(self, target: str) -> CallUuid:
        call: CallUuid = self.do(self.machine.call, self.account, target)
        return call

    def answer(self, call: CallUuid | None = None) -> None:
        self.do(self.machine.answer, call or self.only_call)

    def hang_up(self, call: CallUuid | None = None) -> None:
        self.do(self.machine.hangup, call or self.only_call)

    def press(self, digits: str) -> None:
        self.do(self.machine.send_dtmf, self.only_call, digits)

    def say(self, samples: Int16) -> None:
        """Says all of it; what the engine has no room for is an error of the test."""
        taken = self.do(self.machine.write_audio, self.only_call, samples, RATE)
        assert taken == len(samples)

    def close(self) -> None:
        self.do(self.machine.close)

    # Facts

    @property
    def is_logged_in(self) -> bool:
        return self.machine.is_registered(self.account)

    @property
    def calls(self) -> list[CallUuid]:
        return [info.call_uuid for info in self.machine.calls()]

    @property
    def only_call(self) -> CallUuid:
        (call,) = self.calls
        return call

    @property
    def digits(self) -> str:
        """The keys that the far end has pressed."""
        return "".join(event.tone for event in self.said(events.DtmfReceived))

    @property
    def has_media(self) -> bool:
        return bool(self.said(events.MediaConnected))

    def ends(self) -> Counter[CallUuid]:
        """How many ends each call has had."""
        return Counter(event.call for event in self.said(*ENDS))  # type: ignore[attr-defined]  # all have a call

    def begun(self) -> Counter[CallUuid]:
        """How often each call has begun here."""
        return Counter(event.call for event in self.said(*BEGINNINGS))  # type: ignore[attr-defined]

    def everything_heard(self) -> Int16:
        return np.concatenate(self.heard) if self.heard else np.zeros(0, dtype=np.int16)

    def _on_output(self, output: Any, now: float) -> None:
        if isinstance(output, events.AudioReady):
            for call in output.calls:
                try:
                    self.heard.append(self.machine.read_audio(call, RATE, now=now))
                except LocalProtocolError:
                    continue  # it ended in the same breath


class Network:
    """A world with a server, and the phones that are added.

    Args:
        link: of every pair of hosts, each way.
        sip: how phones reach the server, `SIP_UDP` or `SIP_WS`.
        trace: records every machine.
        world: the class of the world, for a test that looks at what passes through it.
    """

    def __init__(
        self,
        seed: int,
        *,
        link: Link | None = None,
        sip: str = SIP_UDP,
        trace: TraceWriter | None = None,
        world: type[World] = World,
    ) -> None:
        self.seed = seed
        self.trace = trace
        self.phones: list[Phone] = []
        self._sip = sip
        self.world = world(seed, link=link)
        options = ServerOptions(domain=DOMAIN, listen=(SIP_UDP, SIP_WS), users=USERS)
        self.server = Server(self.context("server", "server", {"options": options}), options)
        self.world.add("server", self.server, SERVER_HOST)
        self.world.run(until=0.01)

    def context(self, name: str, kind: str, options: Mapping[str, object]) -> Context:
        source = random.Random(f"{self.seed}/{name}")
        if self.trace is None:
            return Context(Entropy(source), unix_offset=UNIX_OFFSET)
        return self.trace.machine(name, kind, options).context(source, UNIX_OFFSET)

    def phone(
        self,
        name: str,
        profile: MediaProfile = MediaProfile.RTP,
        *,
        nat: Nat | None = None,
        user: str | None = None,
        **options: Any,
    ) -> Phone:
        """`user`: whose phone it is, where that is not its name."""
        user = user or name
        account = {
            "password": USERS[user],
            "servers": (self._sip,),
            "bind": Address("0.0.0.0", 5060),
            "profiles": (profile,),
            "codecs": ("pcmu",),
            "login_timeout": 20.0,
            **options,
        }
        phone = Phone(self, name, AccountOptions(f"sip:{user}@{DOMAIN}", **account), nat)
        self.phones.append(phone)
        return phone

    def wait(self, condition: Callable[[], bool], patience: float) -> bool:
        """Lets time pass until the condition holds; whether it did within so many seconds."""
        return self.world.run(until=self.world.time + patience, stop=condition) and condition()

    def pass_time(self, seconds: float) -> None:
        self.world.run(until=self.world.time + seconds)

    def close(self) -> None:
        """Closes all, lets everything that was begun come to its end, and checks that nothing is left."""
        for phone in self.phones:
            phone.close()
        self.wait(lambda: all(phone.said(events.Closed) for phone in self.phones), 10.0)
        self.pass_time(40.0)  # what the server repeats to phones that are gone, it repeats for 32 s
        self.world.do("server", self.server.close)
        self.world.run(until=self.world.time + 600.0)
        self.check_end()

    def check_end(self) -> None:
        for phone in self.phones:
            assert len(phone.said(events.Closed)) == 1, f"{phone.name} has not closed once"
            assert phone.begun() == phone.ends(), f"{phone.name}: {phone.begun()} began, {phone.ends()} ended"
            assert not phone.calls
        for name, host in self.world.hosts.items():
            assert host.machine.next_timeout() is None, f"{name} is armed after its end"
            assert host.machine.poll_output() is None
            assert not host.datagrams, f"{name} has left sockets open: {host.datagrams}"
            assert not host.listeners, f"{name} has left listeners open: {host.listeners}"
            assert not host.streams, f"{name} has left streams open: {host.streams}"
        assert self.world.idle()


def build(kind: str, options: Mapping[str, Any], context: Context) -> RootMachine[Any]:
    """Makes a machine for a replay: no crypto, no codec libraries."""
    if kind == "server":
        return Server(context, options["options"])
    return Softphone(context, MediaEngine(context, None), options["options"])


def tone(frequency: float, seconds: float, level: float = 0.3) -> Int16:
    """A sine at `RATE`."""
    times = np.arange(round(seconds * RATE)) / RATE
    return np.round(level * 32767 * np.sin(2 * np.pi * frequency * times)).astype(np.int16)


def pitch(samples: Int16) -> float:
    """The strongest frequency in Hz; 0 in silence."""
    if not samples.any():
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * RATE / len(samples)
