"""A phone and a server of ours, tried by the kit in a simulated network, in virtual time."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from sansio_sip.conformance import ConformanceRun, Matrix, Role, RunFinished, Target, cases_for
from sansio_sip.conformance.case import Case
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, Effect, FlowId, OpenDatagram, SendDatagram
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.server import Server, ServerOptions
from sansio_sip.server_url import ServerUrl
from sansio_sip.simulation import Link, World
from sansio_sip.sip.message import Message
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

__all__ = [
    "PASSWORD",
    "Deaf",
    "Faulty",
    "Reply",
    "Spoil",
    "caller",
    "context",
    "new_world",
    "phone",
    "server",
    "try_on",
]

PHONE, KIT = "10.0.0.1", "10.0.0.7"
PASSWORD = Secret("secret of alice")


def context(name: str) -> Context:
    return Context(Entropy(random.Random(name)), unix_offset=1.7e9)


class Deaf:
    """A peer on UDP port 5060 that says nothing; `answers` gives what one says instead."""

    def __init__(self) -> None:
        self._outbox: Outbox[Effect] = Outbox()

    def answers(self, data: bytes) -> Iterator[bytes]:
        yield from ()

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        self._outbox.put(OpenDatagram(FlowId("udp"), Address("0.0.0.0", 5060)))

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        for answer in self.answers(data):
            self._outbox.put(SendDatagram(flow, answer, source))

    def flow_opened(self, *_: Any, now: float) -> None:
        """It is ready."""

    flow_lost = flow_accepted = receive_stream = resolved = flow_opened

    def handle_timeout(self, *, now: float) -> None:
        """There is nothing that it waits for."""

    def next_timeout(self) -> float | None:
        return None

    def poll_output(self) -> Effect | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[Effect]:
        return self._outbox.drain()


Spoil: TypeAlias = Callable[[Message], Iterable[Message | bytes]]
Reply: TypeAlias = Callable[[Message], Iterable[Message | bytes]]


def unspoilt(message: Message) -> Iterable[Message | bytes]:
    yield message


class Faulty:
    """One of our machines with a fault: `spoil` says what goes out in place of each message that it sends, `reply`
    what goes out besides when a message comes."""

    def __init__(self, machine: Any, spoil: Spoil = unspoilt, reply: Reply | None = None) -> None:
        self.machine, self._spoil, self._reply = machine, spoil, reply
        self._outbox: Outbox[Any] = Outbox()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self.machine.receive_datagram(flow, data, source, now=now)
        with suppress(ParseError):
            for reply in self._reply(parse_message(data)) if self._reply is not None else ():
                self._outbox.put(SendDatagram(flow, bytes(reply), source))

    def _spoilt(self, data: bytes) -> Iterable[Message | bytes]:
        try:
            message = parse_message(data)
        except ParseError:  # an answer that takes over what was malformed
            return [data]
        return self._spoil(message)

    def poll_output(self) -> Any:
        for output in self.machine.outputs():
            if isinstance(output, SendDatagram) and b"SIP/2.0" in output.data:
                for message in self._spoilt(output.data):
                    self._outbox.put(replace(output, data=bytes(message)))
            else:
                self._outbox.put(output)
        return self._outbox.poll()

    def outputs(self) -> Iterator[Any]:
        while (output := self.poll_output()) is not None:
            yield output


def _softphone(world: World, spoil: Spoil, reply: Reply | None, **options: Any) -> tuple[Softphone, Any]:
    machine = Softphone(context("phone"), MediaEngine(context("media"), SeededCrypto(1)))
    world.add("phone", Faulty(machine, spoil, reply), PHONE)
    account = AccountOptions(
        "sip:alice@10.0.0.1",
        bind=Address("0.0.0.0", 5060),
        profiles=(MediaProfile.RTP,),
        codecs=("pcmu", "pcma"),
        allow_multiple_incoming=True,
        **options,
    )
    added = world.do("phone", machine.add_account, account)
    world.do("phone", machine.connect, added)
    return machine, added


def phone(world: World, *, ring: float = 0.3, spoil: Spoil = unspoilt, reply: Reply | None = None) -> SipUri:
    """A phone that answers each call after a while."""
    machine, _ = _softphone(world, spoil, reply)

    def answer(call: Any, *, now: float) -> None:
        if any(info.call_uuid == call and info.state.value == "ringing" for info in machine.calls()):
            machine.answer(call, now=now)

    def on_output(output: Any, now: float) -> None:
        if isinstance(output, events.IncomingCall):
            world.at(world.time + ring, "phone", answer, output.call_info.call_uuid)

    world.on_output("phone", on_output)
    return SipUri(PHONE, "alice", port=5060)


def caller(world: World, *, spoil: Spoil = unspoilt, reply: Reply | None = None) -> SipUri:
    """A phone that calls the kit again and again."""
    machine, account = _softphone(world, spoil, reply)

    def call(*, now: float) -> None:
        if not machine.calls():
            machine.call(account, f"sip:kit@{KIT}:5060", now=now)

    for second in range(1, 400):
        world.at(float(second), "phone", call)
    return SipUri(PHONE, "alice", port=5060)


def server(world: World, *, spoil: Spoil = unspoilt) -> SipUri:
    """Our registrar and proxy, with one user."""
    options = ServerOptions(
        domain="example.com",
        listen=("udp://10.0.0.1:5060", "tcp://10.0.0.1:5060", "ws://10.0.0.1:8080"),
        users={"alice": PASSWORD},
    )
    machine = Faulty(Server(context("server"), options), spoil)
    world.add("server", machine, PHONE)
    return SipUri("example.com", "alice")


def try_on(
    world: World,
    role: Role,
    uri: SipUri,
    url: str | None,
    *,
    cases: list[Case] | None = None,
    password: Secret | None = None,
    seconds: float = 4000.0,
) -> Matrix:
    """Runs the kit to its end."""
    found = cases_for(role, datagram=url is None or url.startswith("udp")) if cases is None else cases
    place = ServerUrl.parse(url) if url is not None else None
    bind = Address(KIT, 5060 if role is Role.UAC else 0)
    run = ConformanceRun(context("kit"), Target(role, uri, password or Secret("")), found, server=place, bind=bind)
    finished: list[RunFinished] = []

    def on_output(output: Any, now: float) -> None:
        if isinstance(output, RunFinished):
            finished.append(output)

    world.on_output("kit", on_output)
    world.add("kit", run, KIT)
    assert world.run(until=world.time + seconds, stop=partial(bool, finished)), "the kit has come to no end"
    assert not finished[0].error
    host = world.hosts["kit"]
    assert not host.datagrams
    assert run.next_timeout() is None
    return Matrix(url or "caller", finished[0].results)


def new_world() -> World:
    return World(1, link=Link(delay=0.005))
