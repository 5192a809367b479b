"""Real phones and a real server on a simulated network: what tests of the phone are set up from."""

import random
from inspect import signature
from typing import Any, TypeVar

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, SendDatagram, SendStream
from sansio_sip.server import Server, ServerOptions
from sansio_sip.simulation.link import Link
from sansio_sip.simulation.world import World
from sansio_sip.softphone import (
    AccountId,
    AccountOptions,
    CallUuid,
    Client,
    MediaProfile,
    Options,
    Softphone,
    SoftphoneOptions,
)
from sansio_sip.softphone.events import LogLine
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

__all__ = ["DOMAIN", "PBX", "USERS", "ClientPhone", "Phone", "Scene"]

T = TypeVar("T")

QUIET = ("onAudioReady", "log", "callStatistics")

DOMAIN, PBX = "example.com", "10.0.0.9"
USERS = {name: Secret(f"{name}'s password") for name in ("alice", "bob", "carol", "dave")}


def context(seed: int) -> Context:
    return Context(Entropy(random.Random(seed)))


class TappedWorld(World):
    """Keeps what hosts send besides, so that a test can read the wire."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wire: list[tuple[str, bytes]] = []

    def _perform(self, host: Any, effect: Any) -> None:
        if isinstance(effect, SendStream | SendDatagram):
            self.wire.append((host.name, bytes(effect.data)))
        super()._perform(host, effect)


class Host:
    """A machine on a host, and what it has said."""

    def __init__(self, scene: "Scene", name: str) -> None:
        self.scene = scene
        self.name = name

    def do(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        return self.scene.world.do(self.name, method, *args, **kwargs)

    def events(self, *kinds: type[T]) -> list[T]:
        """What it has said; audio, log and statistics left out, and what it asks of its devices."""
        said = self.scene.world.outputs(self.name, *kinds)
        return [event for event in said if kinds or getattr(event, "name", "log") not in QUIET]

    def names(self) -> list[str]:
        said: list[Any] = self.events()
        return [event.name for event in said]

    def logged(self, level: int = 0) -> list[str]:
        """The log lines of that level and above."""
        return [line.text for line in self.events(LogLine) if line.level >= level]

    def sent(self, start: bytes = b"") -> list[bytes]:
        """The SIP messages that it has sent over UDP or TCP and that start so."""
        return [
            data
            for name, data in self.scene.world.wire
            if name == self.name and data.startswith(start) and b"SIP/2.0" in data
        ]


class Phone(Host):
    """A softphone with one account."""

    def __init__(
        self, scene: "Scene", name: str, address: str, options: AccountOptions, phone: SoftphoneOptions
    ) -> None:
        super().__init__(scene, name)
        made = context(scene.seed + len(scene.world.hosts))
        self.machine = Softphone(made, MediaEngine(made, None), phone)
        self.uri = str(options.uri())
        scene.world.add(name, self.machine, address)
        self.account: AccountId = self.do(self.machine.add_account, options)

    def login(self) -> None:
        """Logs in and waits for what comes of it."""
        self.do(self.machine.login, self.account)
        self.scene.wait(1.0)

    def call(self, target: str, **kwargs: Any) -> CallUuid:
        call: CallUuid = self.do(self.machine.call, self.account, target, **kwargs)
        return call

    @property
    def only_call(self) -> CallUuid:
        (info,) = self.machine.calls()
        return info.call_uuid


class ClientPhone(Host):
    """A client: nobody is logged in yet. Its methods are called through the world, at its time."""

    def __init__(self, scene: "Scene", name: str, address: str, options: Options) -> None:
        super().__init__(scene, name)
        made = context(scene.seed + len(scene.world.hosts))
        crypto = SeededCrypto(f"{scene.seed}/{name}") if scene.crypto else None
        self.machine = Client(made, MediaEngine(made, crypto), options)
        scene.world.add(name, self.machine, address)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.machine, name)
        if not callable(member) or "now" not in signature(member).parameters:
            return member
        return lambda *args, **kwargs: self.do(member, *args, **kwargs)


class Scene:
    """A world with a server at `PBX` that listens on UDP, TCP and WebSocket; with `crypto` clients can do WebRTC."""

    def __init__(self, seed: int = 1, *, link: Link | None = None, server: bool = True, crypto: bool = False) -> None:
        self.seed = seed
        self.crypto = crypto
        names = {"pbx.example.com": (PBX,), "second.example.com": ("10.0.0.2",)}
        self.world = TappedWorld(seed, link=link, names=names)
        self.passwords = dict(USERS)
        self.server = Server(
            context(seed + 1000),
            ServerOptions(
                domain=DOMAIN,
                listen=(f"udp://{PBX}:5060", f"tcp://{PBX}:5060", f"ws://{PBX}:8080"),
                users=self.passwords,
            ),
        )
        self._hosts = 0
        if server:
            self.world.add("pbx", self.server, PBX)
            self.wait(0.1)

    def phone(self, user: str, server: str | None = f"ws://{PBX}:8080", **options: Any) -> Phone:
        """A phone of a user of the server; `server` None: peer to peer on port 5060."""
        self._hosts += 1
        address = f"10.0.0.{self._hosts}"
        phone_options = options.pop("phone", SoftphoneOptions())
        account = AccountOptions(
            address=f"sip:{user}@{DOMAIN if server is not None else address}",
            password=options.pop("password", USERS.get(user, Secret(""))),
            servers=(server,) if server is not None else (),
            bind=Address("0.0.0.0", 5060),
            profiles=(MediaProfile.RTP,),
            codecs=("pcmu",),
            **options,
        )
        return Phone(self, f"{user}{self._hosts}", address, account, phone_options)

    def client(self, user: str, server: str | tuple[str, ...] = f"tcp://{PBX}", **options: Any) -> ClientPhone:
        """A client on a host that is named after who will use it."""
        self._hosts += 1
        made = Options(
            domain=DOMAIN,
            servers=(server,) if isinstance(server, str) else server,
            bind=Address("0.0.0.0", 5060),
            profiles=options.pop("profiles", (MediaProfile.RTP,)),
            codecs=options.pop("codecs", ("pcmu",)),
            **options,
        )
        return ClientPhone(self, f"{user}{self._hosts}", f"10.0.0.{self._hosts}", made)

    def users(self, *users: str, **options: Any) -> list[ClientPhone]:
        """Clients whose users are logged in."""
        clients = [self.client(user, **options) for user in users]
        for client, user in zip(clients, users, strict=True):
            assert client.login(user, USERS[user])
        self.wait(1.0)
        assert all(client.is_logged_in for client in clients)
        return clients

    def logged_in(self, *users: str, **options: Any) -> list[Phone]:
        phones = [self.phone(user, **options) for user in users]
        for phone in phones:
            phone.login()
        return phones

    def wait(self, seconds: float) -> None:
        self.world.run(until=self.world.time + seconds)

    def established(self, caller: Phone, callee: Phone) -> tuple[CallUuid, CallUuid]:
        """A call that is up, by the names that each end has for it."""
        mine = caller.call(callee.uri)
        self.wait(1.0)
        theirs = callee.only_call
        callee.do(callee.machine.answer, theirs)
        self.wait(1.0)
        return mine, theirs
