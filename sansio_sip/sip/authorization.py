"""The credentials of an account: answers to challenges, and credentials sent before one asks (RFC 3261 section 22).

One `Authenticator` serves registration and all sessions of a user agent, so that a nonce learned by one is used on by
the others, its count rising. There is a `DigestClient` for each realm and side (registrar or callee, proxy).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sansio_sip.context import Context, Secret
from sansio_sip.errors import ParseError

from .digest import DigestClient
from .headers import Challenge, Credentials
from .message import Request, Response

__all__ = ["MAX_ANSWERED", "MAX_REALMS", "Answered", "Authenticator"]

MAX_ANSWERED = 6
"""Challenges in a row that one request answers: those of a few proxies, each stale once. `DigestClient` sees to it
that no realm gets the same answer twice; this stops a server that names a new realm each time."""

MAX_REALMS = 16
"""Realms remembered; the oldest is forgotten for a new one, which costs a round trip when it is met again."""


@dataclass(slots=True)
class Answered:
    """How many challenges a request, and those that it repeats, have answered."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class _Realm:
    by_proxy: bool
    name: str

    @property
    def header(self) -> str:
        return "Proxy-Authorization" if self.by_proxy else "Authorization"


class Authenticator:
    """Credentials of one account for all realms."""

    def __init__(self, context: Context, username: str, password: Secret) -> None:
        self._context = context
        self._username = username
        self._password = password
        self._clients: dict[_Realm, DigestClient] = {}
        self._registrars: set[_Realm] = set()

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
            client = self._clients[realm] = DigestClient(self._context, self._username, self._password)
        return client


def _carried(request: Request) -> dict[_Realm, Credentials]:
    """The credentials in a request."""
    rows = [(False, row) for row in request.authorization] + [(True, row) for row in request.proxy_authorization]
    return {_Realm(by_proxy, row.parameter("realm") or ""): row for by_proxy, row in rows}
