"""No sequence of octets, commands, times and broken flows makes a phone raise, nor answer one input without bound.

After `close` it comes to rest: no timer is armed.
"""

import random
from functools import partial

from fuzz.root_machine import play
from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

PROFILES = (MediaProfile.RTP, MediaProfile.WEBRTC)
PEER = AccountOptions("sip:alice@10.0.0.1", bind=Address("0.0.0.0", 5060), profiles=PROFILES, codecs=("pcmu",))
SERVED = AccountOptions("sip:alice@example.com", servers=("udp://10.0.0.9:5060",), profiles=PROFILES, codecs=("pcmu",))


def one(data: bytes) -> None:
    context = Context(Entropy(random.Random(0)), unix_offset=1.7e9)
    phone = Softphone(context, MediaEngine(context, SeededCrypto(0)))
    phone.interfaces_changed(("10.0.0.1",), now=0.0)
    accounts = [phone.add_account(options, now=0.0) for options in (PEER, SERVED)]
    phone.connect(accounts[0], now=0.0)
    phone.login(accounts[1], now=0.0)

    def each_call(command: str, now: float) -> None:
        for info in phone.calls():
            getattr(phone, command)(info.call_uuid, now=now)

    commands = [partial(each_call, name) for name in ("answer", "hangup", "reject", "hold", "resume")]
    call = [lambda now, account=account: phone.call(account, "sip:bob@10.0.0.9", now=now) for account in accounts]
    now = play(phone, data, [*call, *commands])
    phone.close(now=now)
    for _ in range(200):
        for _ in phone.outputs():
            pass
        if (due := phone.next_timeout()) is None:
            return
        now = max(now, due)
        phone.handle_timeout(now=now)
    raise AssertionError(f"a timer is armed after the end: {due}")
