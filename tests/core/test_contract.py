"""The contract of `machine.py`, for every machine there is, in the states that machines are in during calls.

Calls are run in simulation and stopped at several moments. Whatever is found in a phone or the server then that has the
face of a machine is copied out and put to the test alone, with what was on the wire, whole and damaged, as its input.
A machine that is added to the project is found as well, without a word here.
"""

import copy
import copyreg
import inspect
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType, MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.phones import SIP_WS, Network

from sansio_sip.connection import ServerUrl, SignallingConnection
from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, FlowId, OpenStream, SendDatagram, SendStream
from sansio_sip.errors import ParseError
from sansio_sip.simulation import World
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.transport import Hop
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.web_socket import SendData, WebSocketConnection
from sansio_sip_media.demux import classify

FACE = ("handle_timeout", "next_timeout", "poll_output", "outputs")

# Inputs by which octets or messages of a peer come in. Other inputs are told by drivers and parents, and are true.
FROM_PEERS = ("receive", "receive_datagram", "receive_stream", "receive_message", "receive_malformed")

# What a flow of a root machine may be told besides.
OF_FLOWS = ("flow_opened", "flow_lost")

# Headers in events are read-only mappings, which `copy` does not know by itself.
copyreg.pickle(MappingProxyType, lambda mapping: (MappingProxyType, (dict(mapping),)))  # type: ignore[arg-type]

STRANGER = Address("203.0.113.7", 4000)
NO_FLOW = FlowId("no such flow")


@dataclass(frozen=True, slots=True)
class Specimen:
    """A machine in mid-call, and the time it was stopped at."""

    make: Callable[[], Any]
    now: float


class Tapped(World):
    """Keeps what its hosts send."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wire: set[bytes] = set()

    def _perform(self, host: Any, effect: Any) -> None:
        if isinstance(effect, SendDatagram | SendStream):
            self.wire.add(bytes(effect.data))
        super()._perform(host, effect)


def is_machine(value: object) -> bool:
    return all(callable(getattr(type(value), name, None)) for name in FACE)


def machines_in(root: object) -> Iterator[object]:
    """All machines that a machine owns, itself included, in the order in which they are found."""
    seen: set[int] = set()
    queue = [root]
    while queue:
        value = queue.pop()
        if id(value) in seen or isinstance(value, type | FunctionType | str | bytes | int | float):
            continue
        seen.add(id(value))
        if is_machine(value):
            yield value
        if isinstance(value, dict):
            queue += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            queue += value
        elif type(value).__module__.startswith("sansio_sip"):
            slots = [name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())]
            queue += [getattr(value, name) for name in slots if hasattr(value, name)]
            queue += vars(value).values() if hasattr(value, "__dict__") else ()


def context() -> Context:
    return Context(Entropy(random.Random(1)))


def web_sockets() -> tuple[WebSocketConnection, WebSocketConnection]:
    """Client and server, open. They are made anew each time: the parsers in them cannot be copied."""
    client = WebSocketConnection.client(context(), host="pbx.example.com", now=0.0)
    server = WebSocketConnection.server(context(), now=0.0)
    for _ in range(2):
        for sender, receiver in ((client, server), (server, client)):
            for output in sender.outputs():
                if isinstance(output, SendData):
                    receiver.receive(output.data, now=0.0)
    return client, server


def signalling_by_web_socket() -> SignallingConnection:
    connection = SignallingConnection(context(), "alice", (ServerUrl.parse(SIP_WS),))
    server = WebSocketConnection.server(context(), now=0.0)
    connection.connect(now=0.0)
    flow = next(output.flow for output in connection.outputs() if isinstance(output, OpenStream))
    connection.flow_opened(flow, Address("10.0.0.1", 40000), Address("10.0.0.9", 8080), now=0.0)
    for sent in connection.outputs():
        if isinstance(sent, SendStream):
            server.receive(sent.data, now=0.0)
    for said in server.outputs():
        if isinstance(said, SendData):
            connection.receive_stream(flow, said.data, now=0.0)
    return connection


@cache
def specimens() -> tuple[dict[str, Specimen], tuple[bytes, ...]]:
    """One of each class at each moment of two calls, and what was on the wire."""
    found: dict[str, Specimen] = {}
    wire: set[bytes] = set()
    for profile in MediaProfile:
        network = Network(1, world=Tapped)
        alice, bob = (network.phone(name, profile) for name in ("alice", "bob"))

        def keep(moment: str) -> None:
            for host in network.world.hosts.values():  # noqa: B023  # called within the turn of the loop
                for machine in machines_in(host.machine):
                    name = f"{type(machine).__name__}-{moment}"
                    if "sansio_sip_media" in type(machine).__module__:
                        name += f"-{profile.value}"  # noqa: B023
                    if name not in found:
                        found[name] = Specimen(partial(copy.deepcopy, copy.deepcopy(machine)), network.world.time)  # noqa: B023

        keep("new")
        for phone in (alice, bob):
            assert phone.login()
        alice.call("bob")
        network.pass_time(0.3)
        keep("ringing")
        bob.answer()
        network.pass_time(1.0)
        alice.press("1")
        network.pass_time(0.15)
        keep("talking")
        alice.hang_up()
        network.pass_time(0.01)
        keep("ending")
        assert isinstance(network.world, Tapped)
        wire |= network.world.wire
    found["WebSocketConnection-client"] = Specimen(lambda: web_sockets()[0], 0.0)
    found["WebSocketConnection-server"] = Specimen(lambda: web_sockets()[1], 0.0)
    found["SignallingConnection-web_socket"] = Specimen(signalling_by_web_socket, 0.0)
    shuffled = sorted(wire)
    random.Random(1).shuffle(shuffled)
    sip = [octets for octets in shuffled if b"SIP/2.0" in octets]
    return found, tuple(sip[:60] + [octets for octets in shuffled if b"SIP/2.0" not in octets][:60])


NAMES = sorted(specimens()[0])

octets = st.binary(max_size=300) | st.sampled_from(specimens()[1])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """What was on the wire, and has been changed on the way; or anything at all."""
    data = bytearray(draw(octets))
    for _ in range(draw(st.integers(0, 3))):
        if not data:
            break
        place = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["flip", "cut", "double", "insert"])):
            case "flip":
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place:]
            case "double":
                data[place:place] = data[: min(len(data), 40)]
            case _:
                data[place:place] = draw(st.binary(max_size=4))
    return bytes(data)


def known_flows(machine: Any) -> list[FlowId]:
    """Names of flows that the machine holds, wherever it does."""
    flows = set()
    for owned in machines_in(machine):
        for value in vars(owned).values() if hasattr(owned, "__dict__") else ():
            if isinstance(value, dict):
                flows |= {key for key in value if isinstance(key, str) and len(key) < 40}
            elif isinstance(value, str) and 0 < len(value) < 40:
                flows.add(value)
    return sorted(map(FlowId, flows))


def argument(name: str, data: bytes, flow: FlowId, source: Address, number: int) -> Any:
    """An argument by its name: the same name means the same thing in every machine."""
    match name:
        case "data" | "payload":
            return data
        case "flow":
            return flow
        case "source":
            return source
        case "kind":
            return classify(data)
        case "hop":
            return Hop("UDP", source, Address("10.0.0.1", 5060), flow)
        case "rtp_timestamp":
            return number
        case "reason":
            return "connection reset"
        case "message":
            return parse_message(data)
        case "error":
            return ParseError("not SIP", status=400)
        case "response" | "key" | "packet" | "local" | "remote" | "peer" | "listener" | "context" | "transaction":
            raise NotImplementedError
        case _:
            raise NotImplementedError(name)


def inputs_of(machine: Any) -> list[str]:
    return [name for name in (*FROM_PEERS, *OF_FLOWS) if callable(getattr(machine, name, None))]


def give(machine: Any, name: str, data: bytes, flow: FlowId, source: Address, number: int, now: float) -> None:
    """Gives an input; what a parser refuses never comes so far, and inputs with other arguments are left out."""
    method = getattr(machine, name)
    parameters = [
        parameter
        for parameter in inspect.signature(method).parameters.values()
        if parameter.default is inspect.Parameter.empty and parameter.name != "now"
    ]
    try:
        arguments = [argument(parameter.name, data, flow, source, number) for parameter in parameters]
    except (NotImplementedError, ParseError):
        return
    method(*arguments, now=now)


def fresh(name: str) -> tuple[Any, float]:
    specimen = specimens()[0][name]
    return specimen.make(), specimen.now


def everything(machine: Any) -> list[Any]:
    outputs = list(machine.outputs())
    assert machine.poll_output() is None
    return outputs


@pytest.mark.parametrize("name", sorted({name.split("-")[0] for name in NAMES}))
def test_every_input_takes_the_time_by_keyword_and_has_no_default_for_it(name: str) -> None:
    machine, _ = fresh(next(each for each in NAMES if each.split("-")[0] == name))
    for attribute in dir(type(machine)):
        method = getattr(type(machine), attribute)
        if attribute.startswith("_") or not callable(method):
            continue
        now = inspect.signature(method).parameters.get("now")
        if now is not None:
            assert now.kind is inspect.Parameter.KEYWORD_ONLY, attribute
            assert now.default is inspect.Parameter.empty, attribute
    for attribute in ("handle_timeout", *inputs_of(machine)):
        assert "now" in inspect.signature(getattr(type(machine), attribute)).parameters, attribute


@pytest.mark.parametrize("name", NAMES)
def test_outputs_end_with_none_and_asking_for_the_deadline_changes_nothing(name: str) -> None:
    machine, _ = fresh(name)
    everything(machine)
    assert len({machine.next_timeout() for _ in range(3)}) == 1
    assert machine.poll_output() is None
    assert list(machine.outputs()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_timeout_that_comes_early_does_nothing(name: str) -> None:
    machine, now = fresh(name)
    everything(machine)
    for _ in range(100):  # what was due at the moment it was stopped
        deadline = machine.next_timeout()
        if deadline is None or deadline > now:
            break
        machine.handle_timeout(now=now)
        everything(machine)
    else:
        raise AssertionError("it asks for the same moment again and again")
    early = now if deadline is None else min(now + (deadline - now) * 0.99, math.nextafter(deadline, now))
    machine.handle_timeout(now=early)
    assert everything(machine) == []
    assert machine.next_timeout() == deadline


@pytest.mark.parametrize("name", NAMES)
def test_a_timeout_that_comes_late_or_twice_does_no_harm(name: str) -> None:
    machine, now = fresh(name)
    everything(machine)
    for late in [0.0, 0.0, 0.013, 0.0, 0.1, 1.0, 0.0, 100_000.0, 0.0, 100_000.0]:
        deadline = machine.next_timeout()
        if deadline is None:
            break
        now = max(now, deadline) + late
        for _ in range(100):
            machine.handle_timeout(now=now)
            everything(machine)
            again = machine.next_timeout()
            if again is None or again > now:
                break
        else:
            raise AssertionError("it asks for the same moment again and again")
        machine.handle_timeout(now=now)
        assert everything(machine) == []
        assert machine.next_timeout() == again


@st.composite
def doings(draw: st.DrawFn) -> list[tuple[int, bytes, int, Address, int, float]]:
    return draw(
        st.lists(
            st.tuples(
                st.integers(0, 9),
                damaged(),
                st.integers(0, 30),
                st.sampled_from(
                    [STRANGER, *(Address(f"10.0.0.{host}", port) for host in (1, 2) for port in (40000, 5060))]
                ),
                st.integers(0, 2**32 - 1),
                st.sampled_from([0.0, 0.0, 0.02, 0.5, 40.0]),
            ),
            max_size=6,
        )
    )


def take_turn(machine: Any, turn: tuple[int, bytes, int, Address, int, float], flows: list[FlowId], now: float) -> None:
    which, data, flow, source, number, _ = turn
    names = [*inputs_of(machine), "handle_timeout"]
    name = names[which % len(names)]
    if name == "handle_timeout":
        machine.handle_timeout(now=now)
    else:
        give(machine, name, data, [*flows, NO_FLOW][flow % (len(flows) + 1)], source, number, now)


@pytest.mark.parametrize("name", NAMES)
@given(turns=doings())
@settings(max_examples=5, deadline=None)
def test_no_octets_raise_and_outputs_do_not_depend_on_when_they_are_taken(name: str, turns: list[Any]) -> None:
    (drained, now), (undrained, _) = fresh(name), fresh(name)
    flows = known_flows(drained)
    everything(drained), everything(undrained)
    said = []
    for turn in turns:
        now += turn[-1]
        take_turn(drained, turn, flows, now)
        said += everything(drained)
        take_turn(undrained, turn, flows, now)
        assert drained.next_timeout() == undrained.next_timeout()
    assert everything(undrained) == said


# The machines that a driver runs: only they are told of flows that are none of theirs.
ROOTS = [name for name in NAMES if name.split("-")[0] in ("Softphone", "Server")]


@pytest.mark.parametrize("name", ROOTS)
@given(data=damaged())
@settings(max_examples=10, deadline=None)
def test_a_flow_that_nobody_opened_is_ignored(name: str, data: bytes) -> None:
    machine, now = fresh(name)
    everything(machine)
    deadline = machine.next_timeout()
    machine.receive_datagram(NO_FLOW, data, STRANGER, now=now)
    machine.receive_stream(NO_FLOW, data, now=now)
    machine.flow_opened(NO_FLOW, STRANGER, now=now)
    machine.flow_lost(NO_FLOW, "connection reset", now=now)
    machine.resolved(1_000_000, (), now=now)
    assert everything(machine) == []
    assert machine.next_timeout() == deadline


def test_the_machines_found_are_those_there_are() -> None:
    found = {name.split("-")[0] for name in NAMES}
    assert found >= {
        "Account",
        "CallControl",
        "DtlsTransport",
        "DtmfReceiver",
        "IceAgent",
        "MediaEngine",
        "MediaSession",
        "PlainTransport",
        "Registration",
        "RtcpSession",
        "Server",
        "SignallingConnection",
        "Softphone",
        "TransactionLayer",
        "UserAgent",
        "WebRtcTransport",
        "WebSocketConnection",
    }
