"""The credentials of an account: answers to challenges, and credentials sent before one asks (RFC 3261 section 22).

One `Authenticator` serves registration and all sessions of a user agent, so that a nonce learned by one is used on by
the others, its count rising. There is a `DigestClient` for each realm and side (registrar or callee, proxy).

Whose challenges are answered
-----------------------------
A response to a challenge lets whoever gets it try passwords at leisure. So nobody gets one but the account's server:

- Without a server (peer to peer) there is nobody who knows the password: no challenge is answered.
- In a call that came to us none is answered, and no credentials are sent unasked. A caller whom we part from with BYE
  could ask with any realm, ours as well, and our own proxies would bring him the answer.
- A REGISTER goes to our registrar alone: its challenges are answered, and their realms are ours from then on.
- Anything else: the realms so learned, and those that the account names (`AccountConfig.realms`; "*": any). An account
  that was never asked at REGISTER has the domain of its address and the first realm that an INVITE of its own meets.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sansio_sip.context import Context, Secret
from sansio_sip.errors import ParseError

from .digest import ALGORITHMS, DigestClient
from .headers import Challenge, Credentials
from .identity import Identity
from .message import Request, Response

__all__ = ["MAX_ANSWERED", "MAX_REALMS", "Answered", "Authenticator"]

MAX_ANSWERED = 6
"""Challenges in a row that one request answers: those of a few proxies, each stale once. `DigestClient` sees to it
that no realm gets the same answer twice; this stops a server that names a new realm each time."""

MAX_REALMS = 16
"""Realms remembered; the oldest is forgotten for a new one, which costs a round trip when it is met again."""


@dataclass(slots=True)
class Answered:
    """How many challenges a request, and those that it repeats, have answered.

    `in_call_of_peer`: it is a request of a dialog that the peer has begun.
    """

    count: int = 0
    in_call_of_peer: bool = False


@dataclass(frozen=True, slots=True)
class _Realm:
    by_proxy: bool
    name: str

    @property
    def header(self) -> str:
        return "Proxy-Authorization" if self.by_proxy else "Authorization"


class Authenticator:
    """Credentials of one account for all realms.

    Args:
        identity: of the account, which says whether there is a server and which realms are its own; None: each is.
    """

    def __init__(self, context: Context, username: str, password: Secret, *, identity: Identity | None = None) -> None:
        self._context = context
        self._identity = identity
        self._first: str | None = None  # the realm that an account which does not register has met first
        self.refused = 0  # challenges that were not ours to answer
        self._username = username
        self._password = password
        self._clients: dict[_Realm, DigestClient] = {}
        self._registrars: set[_Realm] = set()

    def for_line(self) -> "Authenticator":
        """That of one registration among several: it has nonces of its own, and what it learns of realms is shared."""
        other = Authenticator(self._context, self._username, self._password, identity=self._identity)
        other._registrars = self._registrars
        return other

    def authorize(self, request: Request, response: Response, answered: Answered) -> Request | None:
        """The request again, with credentials for the 401 or 407 that it got. Its CSeq is the caller's affair.

        None where there is no password, no challenge that can be answered, or ours was refused.
        """
        if self._password == Secret("") or answered.count >= MAX_ANSWERED:
            return None
        by_proxy = response.status == 407
        try:
            challenges = response.proxy_authenticate if by_proxy else response.www_authenticate
            carried = _carried(request)
        except ParseError:
            return None
        by_realm: dict[str, list[Challenge]] = {}
        for challenge in challenges:
            by_realm.setdefault(challenge.parameter("realm") or "", []).append(challenge)
        accepted: list[_Realm] = []
        for name, rows in list(by_realm.items())[:MAX_REALMS]:
            realm = _Realm(by_proxy, name)
            if not self._is_ours(name, request, answered):
                self.refused += 1
                continue
            if self._client(realm).challenged(rows, sent=carried.get(realm)):
                accepted.append(realm)
                if request.method == "REGISTER":
                    self._registrars.add(realm)
        if not accepted:
            return None
        answered.count += 1
        # Those of other realms stay, under a new nonce count: a copy of the old would look like a replay.
        others = [realm for realm in carried if realm not in accepted and realm in self._clients]
        return self._with_credentials(request, (*others, *accepted))

    def preempt(self, request: Request) -> Request:
        """The request with the credentials that it will be asked for, as far as that is known.

        RFC 3261 section 22.1 lets a client reuse credentials; they go to the registrar and the proxies that have asked
        for them before, and never to a callee, who is another one each time.
        """
        if request.method == "REGISTER":
            realms = [realm for realm in self._clients if realm in self._registrars]
        else:
            realms = [realm for realm in self._clients if realm.by_proxy and realm not in self._registrars]
        return self._with_credentials(request, realms) if realms else request

    def accepted(self, request: Request, response: Response) -> None:
        """A 2xx to a request with credentials: it may name the nonce to use from now on (RFC 7616 section 3.5)."""
        try:
            carried = _carried(request)
        except ParseError:
            return
        for by_proxy, header in ((False, "Authentication-Info"), (True, "Proxy-Authentication-Info")):
            realms = [realm for realm in carried if realm.by_proxy == by_proxy]
            text = response.headers.get(header)
            # The header names no realm: with two of them nobody knows whose nonce it is.
            if text is not None and len(realms) == 1 and (client := self._clients.get(realms[0])) is not None:
                client.next_nonce(text)

    def _is_ours(self, name: str, request: Request, answered: Answered) -> bool:
        """The rule above."""
        identity = self._identity
        if identity is None or request.method == "REGISTER":
            return identity is None or identity.has_server
        realms = identity.config.realms
        if not identity.has_server or answered.in_call_of_peer:
            return False
        if "*" in realms or name in realms or any(realm.name == name for realm in self._registrars):
            return True
        if self._registrars:
            return False
        if name == identity.config.address.host:
            return True
        self._first = self._first if self._first is not None or request.to.tag is not None else name
        return name == self._first

    def _with_credentials(self, request: Request, realms: Iterable[_Realm]) -> Request:
        again = request.copy()
        again.headers.remove("Authorization")
        again.headers.remove("Proxy-Authorization")
        for realm in realms:
            client = self._clients[realm]
            if client.ready:
                again.headers.add(realm.header, client.authorization(request.method, str(request.uri), request.body))
        return again

    def _client(self, realm: _Realm) -> DigestClient:
        client = self._clients.get(realm)
        if client is None:
            while len(self._clients) >= MAX_REALMS:
                oldest = next(iter(self._clients))
                del self._clients[oldest]
                self._registrars.discard(oldest)
            allowed = ALGORITHMS if self._identity is None else self._identity.config.digest_algorithms
            client = self._clients[realm] = DigestClient(
                self._context, self._username, self._password, algorithms=allowed
            )
        return client


def _carried(request: Request) -> dict[_Realm, Credentials]:
    """The credentials in a request."""
    rows = [(False, row) for row in request.authorization] + [(True, row) for row in request.proxy_authorization]
    return {_Realm(by_proxy, row.parameter("realm") or ""): row for by_proxy, row in rows}
