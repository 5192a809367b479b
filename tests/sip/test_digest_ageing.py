"""A nonce grows old: a client that has been let in goes on being let in, and one that never is gives up."""

import random

import pytest

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.sip.digest import MAX_STALE, DigestClient
from sansio_sip.sip.headers import Challenge, Credentials

QOPS = [', qop="auth"', ""]


def client() -> DigestClient:
    return DigestClient(Context(Entropy(random.Random(1))), "alice", Secret("secret"))


def challenge(number: int, qop: str, *, stale: bool) -> Challenge:
    return Challenge.parse(f'Digest realm="r", nonce="n{number}"{qop}' + (", stale=true" if stale else ""))


def answer(machine: DigestClient) -> Credentials:
    return Credentials.parse(machine.authorization("REGISTER", "sip:example.com"))


@pytest.mark.parametrize("stale", [True, False])
@pytest.mark.parametrize("qop", QOPS)
def test_a_registrar_whose_nonces_age_lets_the_client_in_for_ever(qop: str, stale: bool) -> None:
    machine = client()
    assert machine.challenged([challenge(0, qop, stale=False)])
    answer(machine)
    for number in range(1, 50):
        old = answer(machine)  # sent unasked with the next REGISTER; too old by now
        assert machine.challenged([challenge(number, qop, stale=stale)], sent=old)
        answer(machine)  # accepted


@pytest.mark.parametrize("qop", QOPS)
def test_a_server_that_calls_every_nonce_stale_is_given_up(qop: str) -> None:
    machine = client()
    assert machine.challenged([challenge(0, qop, stale=False)])
    tries = 0
    while machine.challenged([challenge(tries + 1, qop, stale=True)], sent=answer(machine)):
        tries += 1
        assert tries <= MAX_STALE
    assert tries == MAX_STALE


@pytest.mark.parametrize("qop", QOPS)
def test_a_wrong_password_is_not_tried_twice(qop: str) -> None:
    machine = client()
    assert machine.challenged([challenge(0, qop, stale=False)])
    assert not machine.challenged([challenge(1, qop, stale=False)], sent=answer(machine))
