"""Octets from the network never raise out of DTLS, and records are cut where they were joined.

Whether they come to the client or to the server is as their number is odd or even.
"""

import random
from typing import Literal

from sansio_sip.context import Context, Entropy
from sansio_sip_media.dtls import DtlsTransport
from sansio_sip_media.dtls_record import split_records, well_formed
from sansio_sip_media.seeded_crypto import SeededCrypto

PEER = (SeededCrypto("peer").certificate_fingerprint,)


def one(data: bytes) -> None:
    assert b"".join(map(bytes, split_records(data))) == well_formed(data)
    role: Literal["client", "server"] = "client" if len(data) % 2 else "server"
    end = DtlsTransport(Context(Entropy(random.Random(0))), SeededCrypto(0), role=role, fingerprints=PEER)
    end.start(now=0.0)
    for number, start in enumerate(range(0, len(data), 700)):
        end.receive(data[start : start + 700], now=float(number))
        end.handle_timeout(now=float(number))
    assert len(list(end.outputs())) <= 4 + 3 * (len(data) // 700 + 1)
