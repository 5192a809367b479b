"""What if this packet had been lost? A machine is a value: copy it, and let the copy live through it.

Run: python examples/what_if_lost.py
"""

import copy
import random

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, FlowId
from sansio_sip.sip.identity import AccountConfig
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri
from sansio_sip.sip.user_agent import SendMessage, UserAgent


def sent(phone: UserAgent) -> list[bytes]:
    return [output.data.split(b"\r\n")[0] for output in phone.outputs() if isinstance(output, SendMessage)]


def main() -> None:
    context = Context(Entropy(random.Random(1)))
    phone = UserAgent(context, AccountConfig(SipUri("example.com", "alice"), "alice", Secret("")))
    phone.flow_ready(Hop("UDP", Address("192.0.2.9", 5060), Address("192.0.2.1", 5060), FlowId("f")), now=0.0)
    phone.register(now=0.0)
    print("sent:", sent(phone))

    lost = copy.deepcopy(phone)  # from here on there are two worlds
    while (due := lost.next_timeout()) is not None and due < 4.0:
        lost.handle_timeout(now=due)
        print(f"had it been lost, {due} s later:", sent(lost))
    print("where it was not:", sent(phone))


if __name__ == "__main__":
    main()
