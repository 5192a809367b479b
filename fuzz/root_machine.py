"""What octets do to a whole root machine: a sequence of inputs, commands and times.

The octets are pieces between NUL NUL. A piece that begins with an octet below 16 does what that octet says with the
rest; any other is one datagram from the server's address. So a plain SIP message is a sequence of one input already.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from sansio_sip.effects import Address, FlowId, Listen, OpenDatagram, OpenStream, Resolve, SendDatagram
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import RootMachine

__all__ = ["MAX_PIECES", "SERVER", "play"]

HERE, SERVER, STRANGER = Address("10.0.0.1", 5060), Address("10.0.0.9", 5060), Address("203.0.113.7", 4000)

MAX_PIECES = 24
# Of any input: a message may have an answer, a call its media, timers that come late all their copies; and each octet
# of a stream may be the end of a message at the most.
OUTPUTS_PER_INPUT, OCTETS_PER_OUTPUT = 64, 16


def play(
    machine: RootMachine[Any], data: bytes, commands: Sequence[Callable[[float], object]] = (), *, now: float = 0.0
) -> float:
    """Gives all inputs; what a driver is asked to open opens at once. Returns the time it is at the end."""
    flows: list[FlowId] = []
    listeners: list[FlowId] = []
    accepted = 0

    def drain(octets: int) -> None:
        count = 0
        while (output := machine.poll_output()) is not None:
            count += 1
            assert count <= OUTPUTS_PER_INPUT + octets // OCTETS_PER_OUTPUT, f"{count} outputs for one input: {output}"
            match output:
                case OpenDatagram(flow, bind):
                    flows.append(flow)
                    machine.flow_opened(flow, Address("10.0.0.1", bind.port or 40000 + len(flows)), now=now)
                case OpenStream(flow):
                    flows.append(flow)
                    machine.flow_opened(flow, HERE, SERVER, now=now)
                case Listen(listener, bind):
                    listeners.append(listener)
                    machine.flow_opened(listener, bind, now=now)
                case Resolve(query):
                    machine.resolved(query, (Address("10.0.0.9", 0),), now=now)
                case SendDatagram():
                    assert len(output.data) <= 65_535
                case _:
                    pass

    drain(0)
    for piece in data.split(b"\0\0")[:MAX_PIECES]:
        what, payload = (piece[0], piece[1:]) if piece[:1] and piece[0] < 16 else (0, piece)
        flow = flows[what % len(flows)] if flows else FlowId("none")
        match what:
            case 1 | 2 | 3:
                machine.receive_datagram(flow, payload, STRANGER, now=now)
            case 4 | 5 | 6:
                machine.receive_stream(flow, payload, now=now)
            case 7:
                machine.flow_lost(flow, "cut", now=now)
            case 8 if listeners:
                accepted += 1
                flow = FlowId(f"{listeners[accepted % len(listeners)]}#{accepted}")
                flows.append(flow)
                machine.flow_accepted(listeners[accepted % len(listeners)], flow, HERE, STRANGER, now=now)
                drain(0)
                machine.receive_stream(flow, payload, now=now)
            case 9 | 10 | 11:
                now += {9: 0.02, 10: 1.0, 11: 40.0}[what]
                machine.handle_timeout(now=now)
            case 12 | 13 | 14 if commands:
                with suppress(LocalProtocolError):  # the only exception allowed
                    commands[(len(payload) + what) % len(commands)](now)
            case _:
                machine.receive_datagram(flow, payload, SERVER, now=now)
        drain(len(payload))
        due = machine.next_timeout()
        if due is not None and due <= now:
            machine.handle_timeout(now=now)
            drain(0)
    return now
