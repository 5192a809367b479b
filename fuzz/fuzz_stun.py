"""Whatever arrives on a media socket, an ICE agent does not raise, and answers with at most one datagram and one check.

What parses is written again as the same message, and comes once more signed by a peer that knows the password.
"""

import random
from dataclasses import replace

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.errors import ParseError
from sansio_sip_media.ice import stun
from sansio_sip_media.ice.agent import IceAgent


def one(data: bytes) -> None:
    agent = IceAgent(Context(Entropy(random.Random(0))), controlling=len(data) % 2 == 0)
    agent.add_local_candidate(FlowId("a"), Address("10.0.0.1", 1000), now=0)
    agent.set_remote("peer", "p" * 22, ("1 1 udp 1 10.0.0.2 2000 typ host",), now=0)
    list(agent.outputs())
    arriving = [data]
    try:
        message = stun.parse(data)
        username = f"{agent.local_ufrag}:peer"
        assert stun.parse(stun.encode(message, fingerprint=False)).attributes == message.attributes
        own = replace(message, attributes={**message.attributes, stun.Attribute.USERNAME: username})
        arriving += [stun.encode(own, key=agent.local_pwd.encode()), stun.encode(own, key=b"p" * 22)]
    except ParseError:  # the only exception allowed
        pass
    for number, datagram in enumerate(arriving, start=1):
        agent.receive_datagram(FlowId("a"), datagram, Address("10.0.0.3", 3000), now=number)
        agent.handle_timeout(now=number)
        assert sum(isinstance(output, SendDatagram) for output in agent.outputs()) <= 4
