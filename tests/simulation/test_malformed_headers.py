"""Each header that has a typed view, malformed in each kind of message of a call: nobody raises, and all ends.

A digest does not cover them, so that a message with a damaged header still comes from somebody who has logged in.
"""

from typing import Any

import pytest
from simulation.phones import Network

from sansio_sip.effects import Address, FlowId
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.simulation import Host, World
from sansio_sip.sip.message import Message, Response
from sansio_sip.sip.parser import parse_message

GARBAGE = ("\x01 @;,=<", '"never ends')
KINDS = [
    ("REGISTER", False),
    ("REGISTER", True),
    ("INVITE", False),
    ("INVITE", True),
    ("ACK", False),
    ("BYE", False),
    ("BYE", True),
]


class Damaging(World):
    """Puts garbage into one header of one kind of message."""

    key = value = method = ""
    response = False
    damaged = 0

    def _send_datagram(self, host: Host, flow: FlowId, data: bytes, destination: Address) -> None:
        if self.key and b"SIP/2.0" in data[:200]:
            try:
                message = parse_message(bytes(data))
            except ParseError:  # the answer to what was damaged, which takes headers over from it
                super()._send_datagram(host, flow, data, destination)
                return
            if message.cseq.method == self.method and isinstance(message, Response) == self.response:
                message.headers.set(self.key, self.value)
                self.damaged += 1
                data = bytes(message)
        super()._send_datagram(host, flow, data, destination)


@pytest.mark.parametrize(("method", "response"), KINDS)
def test_no_header_makes_anybody_raise(method: str, response: bool) -> None:
    damaged = 0
    for number, key in enumerate(sorted(Message.READERS)):
        network = Network(1, world=Damaging)
        world: Any = network.world
        world.key, world.value, world.method, world.response = key, GARBAGE[number % 2], method, response
        alice, bob = network.phone("alice"), network.phone("bob")
        for phone in (alice, bob):
            phone.do(phone.machine.login, phone.account)
        network.pass_time(1.0)
        try:
            alice.call("bob")
            network.pass_time(0.3)
            if bob.calls:
                bob.answer()
                network.pass_time(0.3)
            if alice.calls:
                alice.hang_up()
        except LocalProtocolError:  # nobody could log in
            pass
        network.pass_time(0.5)
        damaged += world.damaged
        network.close()
    assert damaged > 20
