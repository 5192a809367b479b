"""OpenSSL and its stand-in, through the same tests: what one does the other does."""

from collections.abc import Callable, Iterable

import pytest
from dtls.pair import DELAY, Network, Pair, Side, context, kinds, losing, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.errors import LocalProtocolError
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip_media import crypto as crypto_module
from sansio_sip_media.crypto import CryptoProvider, SrtpProfile
from sansio_sip_media.dtls import (
    HANDSHAKE_TIMEOUT,
    DtlsState,
    DtlsTransport,
    HandshakeDone,
    HandshakeFailed,
    PeerClosed,
    SendRecords,
)
from sansio_sip_media.dtls_record import HEADER, ContentType, Record, split_records
from sansio_sip_media.openssl_crypto import OpenSslCrypto
from sansio_sip_media.seeded_crypto import SeededCrypto

GCM, CM = SrtpProfile.AEAD_AES_128_GCM, SrtpProfile.AES128_CM_SHA1_80

Make = Callable[..., CryptoProvider]


def _openssl(party: int, profiles: tuple[SrtpProfile, ...] = (GCM, CM)) -> CryptoProvider:
    return OpenSslCrypto(profiles)


def _seeded(party: int, profiles: tuple[SrtpProfile, ...] = (GCM, CM)) -> CryptoProvider:
    return SeededCrypto(party, profiles)


PROVIDERS = pytest.mark.parametrize("make", [_openssl, _seeded], ids=["openssl", "seeded"])
SIDE_NAMES: tuple[Side, Side] = ("client", "server")
SIDES = pytest.mark.parametrize("side", SIDE_NAMES)

RTP = bytes.fromhex("80000001000000a0deadbeef") + bytes(range(160))
RTCP = bytes.fromhex("80c90001deadbeef") + bytes.fromhex("81ca0002deadbeef01016100")


def _connected(make: Make, network: Network = whole) -> Pair:
    pair = Pair(make(1), make(2), network)
    pair.start()
    pair.run()
    assert pair.events == {"client": [HandshakeDone(GCM)], "server": [HandshakeDone(GCM)]}
    return pair


@PROVIDERS
def test_flights_are_those_of_dtls_1_2(make: Make) -> None:
    pair = _connected(make)
    plain, ccs, sealed = ("HANDSHAKE", 0), ("CHANGE_CIPHER_SPEC", 0), ("HANDSHAKE", 1)
    assert [kinds(data) for data in pair.sent["client"]] == [[plain], [plain] * 3 + [ccs, sealed]]
    assert [kinds(data) for data in pair.sent["server"]] == [[plain] * 5, [ccs, sealed]]
    # DER makes a signature or a serial number an octet or two longer or shorter.
    sizes = [len(data) for side in SIDE_NAMES for data in pair.sent[side]]
    assert sizes == pytest.approx([171, 560, 650, 75], abs=8)


@PROVIDERS
def test_both_ends_have_the_same_keys_each_way(make: Make) -> None:
    pair = _connected(make)
    client, server = pair.client.srtp(), pair.server.srtp()
    for sender, receiver, source in ((client, server, b"\1\2\3\4"), (server, client, b"\5\6\7\x08")):
        packet, compound = RTP[:8] + source + RTP[12:], RTCP[:4] + source + RTCP[8:]
        protected, report = sender.protect(packet), sender.protect_rtcp(compound)
        assert protected is not None
        assert report is not None
        assert len(protected) == len(RTP) + 16
        assert len(report) == len(RTCP) + 20
        assert receiver.unprotect(protected) == packet
        assert receiver.unprotect_rtcp(report) == compound
        # What we have sent comes back to us: it is not the peer's.
        assert sender.unprotect(protected) is None
        assert sender.rejected == {"auth": 1}


@PROVIDERS
@pytest.mark.parametrize(
    ("client", "server", "agreed"),
    [((GCM, CM), (CM,), CM), ((CM,), (GCM, CM), CM), ((GCM,), (GCM, CM), GCM), ((GCM,), (CM,), None)],
    ids=["server has one", "client has one", "first of both", "none in common"],
)
def test_profile(
    make: Make, client: tuple[SrtpProfile, ...], server: tuple[SrtpProfile, ...], agreed: SrtpProfile | None
) -> None:
    pair = Pair(make(1, client), make(2, server))
    pair.start()
    pair.run()
    expected = HandshakeDone(agreed) if agreed else HandshakeFailed("no profile of SRTP was agreed")
    assert pair.events == {"client": [expected], "server": [expected]}


@PROVIDERS
@SIDES
def test_wrong_fingerprint_fails_the_handshake(make: Make, side: Side) -> None:
    stranger = (make(3).certificate_fingerprint,)
    if side == "client":
        pair = Pair(make(1), make(2), client_wants=stranger)
    else:
        pair = Pair(make(1), make(2), server_wants=stranger)
    pair.start()
    pair.run()
    reason = "the peer's certificate is not the one that its fingerprint announced"
    assert pair.events[side] == [HandshakeFailed(reason)]
    assert pair.end(side).state is DtlsState.FAILED
    with pytest.raises(LocalProtocolError, match="DTLS is failed"):
        pair.end(side).srtp()
    # The other end had been content, and is told.
    other: Side = "server" if side == "client" else "client"
    assert pair.events[other] == [HandshakeDone(GCM), PeerClosed("close_notify")]


@PROVIDERS
def test_fingerprints_of_the_best_hash_decide(make: Make) -> None:
    client, server = make(1), make(2)
    right = server.certificate_fingerprint
    wrong = Fingerprint("sha-512", ":".join(["00"] * 64))
    lower = Fingerprint("SHA-256", right.value.lower())
    other = make(3).certificate_fingerprint
    for wants, good in (((right, wrong), False), ((other, lower), True), ((other,), False)):
        pair = Pair(client, server, client_wants=wants)
        pair.start()
        pair.run()
        assert isinstance(pair.events["client"][0], HandshakeDone if good else HandshakeFailed)


@PROVIDERS
@pytest.mark.parametrize(
    "fingerprints",
    [(), (Fingerprint("sha-1", ":".join(["00"] * 20)),), (Fingerprint("sha-256", "00:11"),)],
    ids=["none", "of a weak hash", "of another size"],
)
def test_no_usable_fingerprint_fails_at_once(make: Make, fingerprints: tuple[Fingerprint, ...]) -> None:
    transport = DtlsTransport(context(), make(1), role="client", fingerprints=fingerprints)
    transport.start(now=0.0)
    reason = "the peer announced no fingerprint of a hash function in use"
    assert list(transport.outputs()) == [HandshakeFailed(reason)]
    assert transport.next_timeout() is None


def test_fingerprints_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("sansio_sip_media.crypto.hmac.compare_digest", compare)
    assert crypto_module.fingerprints_match((("sha-256", "aa"), ("sha-256", "bb")), (("sha-256", "aa"),))
    # The second is compared although the first was right.
    assert compared == [("aa", "aa"), ("bb", "aa")]


@PROVIDERS
@SIDES
def test_close_is_seen_and_answered(make: Make, side: Side) -> None:
    pair = _connected(make)
    other: Side = "server" if side == "client" else "client"
    before = {each: len(pair.sent[each]) for each in SIDE_NAMES}
    pair.end(side).close(now=pair.now)
    pair.end(side).close(now=pair.now)
    pair.run()
    assert pair.events[other] == [HandshakeDone(GCM), PeerClosed("close_notify")]
    assert pair.events[side] == [HandshakeDone(GCM)]
    for each in (side, other):
        assert [kinds(data) for data in pair.sent[each][before[each] :]] == [[("ALERT", 1)]]
        assert pair.end(each).state is DtlsState.CLOSED


@PROVIDERS
def test_close_before_the_end_of_the_handshake_is_silent(make: Make) -> None:
    pair = Pair(make(1), make(2))
    pair.client.close(now=0.0)
    assert pair.client.state is DtlsState.CLOSED
    pair.server.start(now=0.0)
    pair.server.close(now=0.0)
    assert list(pair.server.outputs()) == []
    assert pair.server.next_timeout() is None
    with pytest.raises(LocalProtocolError, match="state is closed"):
        pair.client.start(now=1.0)


@PROVIDERS
@pytest.mark.parametrize("lost", [("client", 0), ("server", 0), ("client", 1), ("server", 1)])
def test_each_flight_lost_once(make: Make, lost: tuple[Side, int]) -> None:
    pair = _connected(make, losing(lost))
    assert max(pair.times["client"] + pair.times["server"]) == pytest.approx(1.05 + 4 * DELAY, abs=0.16)


@PROVIDERS
def test_two_losses_in_a_row_double_the_wait(make: Make) -> None:
    pair = _connected(make, losing(("client", 0), ("client", 1)))
    assert pair.times["client"] == [pytest.approx(1.05 + 2.05 + 4 * DELAY)]
    assert pair.client.retransmissions == 2


@PROVIDERS
def test_a_silent_peer_is_given_up(make: Make) -> None:
    pair = Pair(make(1), make(2), lambda *_: ())
    pair.client.start(now=0.0)
    pair.run()
    assert pair.events["client"] == [HandshakeFailed("no answer within 120 s")]
    assert pair.now == HANDSHAKE_TIMEOUT
    # After 1 s, then every 2 s: somebody waits for this call.
    assert pair.client.retransmissions == 59


@PROVIDERS
def test_hello_in_two_datagrams_either_way_round(make: Make) -> None:
    """A browser's hello with post-quantum keys is larger than a datagram."""

    for order in (1, -1):

        def network(side: Side, index: int, data: bytes, order: int = order) -> Iterable[tuple[float, bytes]]:
            first = next(split_records(data))
            if side == "server" or first.fragment[0] != 1:
                yield DELAY, _renumbered(data, 8)
                return
            for place, piece in list(enumerate(_halves(first)))[::order]:
                yield DELAY + 0.001 * place * order, piece

        _connected(make, network)


def _halves(record: Record) -> tuple[bytes, bytes]:
    """Two records with a fragment each of the handshake message in one; the transcript does not see the difference."""
    header, body = record.fragment[:6], record.fragment[12:]
    middle = len(body) // 2
    pieces = []
    for number, (start, end) in enumerate(((0, middle), (middle, len(body)))):
        fragment = header + start.to_bytes(3, "big") + (end - start).to_bytes(3, "big") + body[start:end]
        pieces.append(bytes(Record(record.type, 0, number, fragment, record.version)))
    return pieces[0], pieces[1]


def _renumbered(data: bytes, add: int) -> bytes:
    """Moves the numbers of unprotected records on, to make room for those put in."""
    records = split_records(data)
    return b"".join(
        bytes(Record(r.type, r.epoch, r.sequence + (0 if r.epoch else add), r.fragment, r.version)) for r in records
    )


@PROVIDERS
def test_what_comes_before_start_is_kept(make: Make) -> None:
    pair = Pair(make(1), make(2))
    pair.client.start(now=0.0)
    pair.run(until=0.5)
    assert pair.sent["server"] == []
    pair.server.start(now=0.5)
    pair.run()
    assert pair.events == {"client": [HandshakeDone(GCM)], "server": [HandshakeDone(GCM)]}
    assert pair.client.retransmissions == 0


@PROVIDERS
def test_commands_that_cannot_be_done(make: Make) -> None:
    pair = Pair(make(1), make(2))
    with pytest.raises(LocalProtocolError, match="DTLS is new; wait for HandshakeDone"):
        pair.client.srtp()
    pair.start()
    with pytest.raises(LocalProtocolError, match="state is handshaking; make a new transport"):
        pair.client.start(now=0.0)


@PROVIDERS
@SIDES
def test_plain_records_after_the_handshake_change_nothing(make: Make, side: Side) -> None:
    pair = _connected(make)
    end = pair.end(side)
    fatal = bytes(Record(ContentType.ALERT, 0, 1000, b"\2\50"))
    hello = _renumbered(pair.sent["client"][0], 1001)
    for data in (
        fatal,
        hello,
        bytes(Record(ContentType.ALERT, 1, 999, b"\1\0" + bytes(24))),
        b"\x16\xfe\xfd",
        b"",
        b"\x80",
    ):
        end.receive(data, now=pair.now + 60)
    assert list(end.outputs()) == []
    assert end.state is DtlsState.CONNECTED
    assert end.malformed == 3


@PROVIDERS
def test_a_fatal_alert_ends_the_handshake(make: Make) -> None:
    pair = Pair(make(1), make(2))
    pair.start()
    pair.client.receive(bytes(Record(ContentType.ALERT, 0, 0, b"\2\50")), now=0.01)
    (failed,) = pair.client.outputs()
    assert isinstance(failed, HandshakeFailed)
    assert failed.reason


@PROVIDERS
def test_a_changed_signature_is_found(make: Make) -> None:
    def network(side: Side, index: int, data: bytes) -> Iterable[tuple[float, bytes]]:
        if side == "server" and index == 0:
            records = list(split_records(data))
            broken = bytearray(bytes(records[2]))
            broken[-20] ^= 1
            data = b"".join(bytes(broken) if n == 2 else bytes(record) for n, record in enumerate(records))
        yield DELAY, data

    pair = Pair(make(1), make(2), network)
    pair.start()
    pair.run()
    assert [type(event) for event in pair.events["client"]] == [HandshakeFailed]
    assert [type(event) for event in pair.events["server"]] == [HandshakeFailed]
    assert pair.now < 1  # by an alert, not by waiting


@PROVIDERS
def test_a_broken_finished_is_dropped_and_sent_again(make: Make) -> None:
    def network(side: Side, index: int, data: bytes) -> Iterable[tuple[float, bytes]]:
        yield DELAY, data[:-1] + bytes((data[-1] ^ 1,)) if (side, index) == ("server", 1) else data

    _connected(make, network)


@PROVIDERS
def test_each_datagram_twice(make: Make) -> None:
    def network(side: Side, index: int, data: bytes) -> Iterable[tuple[float, bytes]]:
        yield DELAY, data
        yield DELAY + 0.01, data

    pair = _connected(make, network)
    assert len(pair.sent["client"]) == len(pair.sent["server"]) == 2


@PROVIDERS
def test_echoed_records_do_not_start_a_storm(make: Make) -> None:
    """Each datagram comes three times, spread over seconds: the answers to repetitions stay few."""

    def network(side: Side, index: int, data: bytes) -> Iterable[tuple[float, bytes]]:
        for delay in (DELAY, 0.7, 1.9):
            yield delay, data

    pair = _connected(make, network)
    assert len(pair.sent["client"]) + len(pair.sent["server"]) < 20


# What becomes of the first datagrams. Drawn beforehand: OpenSSL's are not of the same size twice.
DAMAGE = st.tuples(
    st.sampled_from(["whole", "cut", "flip", "noise", "lost"]),
    st.floats(0, 1, exclude_max=True),
    st.binary(max_size=64),
)


@PROVIDERS
@settings(max_examples=60, deadline=None)
@given(plan=st.lists(DAMAGE, max_size=8))
def test_damage_never_raises(make: Make, plan: list[tuple[str, float, bytes]]) -> None:
    """Whatever becomes of datagrams, nothing is raised, and each end comes to an end of its handshake."""
    left = iter(plan)

    def network(side: Side, index: int, datagram: bytes) -> Iterable[tuple[float, bytes]]:
        how, where, noise = next(left, ("whole", 0.0, b""))
        if how == "cut":
            datagram = datagram[: int(where * len(datagram))]
        elif how == "flip":
            broken = int.from_bytes(datagram, "big") ^ 1 << int(where * 8 * len(datagram))
            datagram = broken.to_bytes(len(datagram), "big")
        elif how == "noise":
            datagram = datagram[: HEADER * int(2 * where)] + noise
        if how != "lost":
            yield DELAY, datagram

    pair = Pair(make(1), make(2), network)
    pair.start()
    pair.run()
    for side in SIDE_NAMES:
        assert isinstance(pair.events[side][0], HandshakeDone | HandshakeFailed)


@PROVIDERS
@settings(max_examples=60, deadline=None)
@given(
    noise=st.lists(st.binary(max_size=80), max_size=6), head=st.sampled_from([b"", b"\x16\xfe\xfd", b"\x15\xfe\xfd"])
)
def test_noise_never_raises(make: Make, noise: list[bytes], head: bytes) -> None:
    transport = DtlsTransport(context(), make(1), role="server", fingerprints=(make(2).certificate_fingerprint,))
    transport.start(now=0.0)
    for number, data in enumerate(noise):
        body = data[:40]
        transport.receive(head + bytes(8) + len(body).to_bytes(2, "big") + body if head else data, now=float(number))
    for output in transport.outputs():
        assert isinstance(output, SendRecords | HandshakeFailed)
