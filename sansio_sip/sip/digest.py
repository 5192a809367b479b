"""Digest authentication: RFC 3261 section 22, RFC 7616, and the algorithms that RFC 8760 brings to SIP.

`hash_a1` and `digest_response` are the formulas. `DigestClient` answers the challenges of one realm, `DigestServer`
makes them and judges the answers. A password is revealed inside the computation that the oracle is asked for, and
nowhere else, so that a recorded run can be run again without it.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sansio_sip.context import Context, Disclosure, Secret
from sansio_sip.errors import LocalProtocolError, ParseError

from .headers import Challenge, Credentials, Quoted
from .parameters import Parameters

__all__ = [
    "ALGORITHMS",
    "DigestClient",
    "DigestServer",
    "Outcome",
    "Verification",
    "digest_response",
    "hash_a1",
]


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sha512_256(data: bytes) -> str:
    # FIPS 180-4 section 5.3.6.2: not SHA-512 cut short, which is what the example of RFC 7616 section 3.9.2 shows
    return hashlib.new("sha512_256", data).hexdigest()


_HASHES: Final[Mapping[str, Callable[[bytes], str]]] = {
    "SHA-512-256": _sha512_256,
    "SHA-256": _sha256,
    "MD5": _md5,
}

ALGORITHMS: Final = tuple(name + suffix for name in _HASHES for suffix in ("-sess", ""))
"""All that can be computed, the strongest first."""

_CANONICAL: Final = {name.upper(): name for name in ALGORITHMS}

MAX_STALE: Final = 3
"""Answers that a server may call stale one after another: a nonce that is too old each time is a loop."""

MAX_NONCES: Final = 10_000
"""Nonces that a server remembers. An older one is stale, which costs its client one round trip."""

NONCE_LIFETIME: Final = 300.0
"""Seconds. RFC 7616 section 5.4: a lifetime bounds what a stolen answer is good for."""

_NC_WINDOW: Final = 64
"""Nonce counts that may arrive out of order (UDP, forks) behind the highest one."""


def _algorithm(name: str | None) -> str | None:
    """The name as we write it; MD5 where none is given (RFC 7616 section 3.3); None for one that is not known."""
    return _CANONICAL.get((name or "MD5").upper())


def hash_a1(algorithm: str, username: str, realm: str, password: str) -> str:
    """H(unq(username) ":" unq(realm) ":" passwd), in hex: what a server may keep in place of the password."""
    digest = _HASHES[algorithm.removesuffix("-sess")]
    return digest(f"{username}:{realm}:{password}".encode("utf-8", "surrogateescape"))


def digest_response(
    algorithm: str,
    a1: str,
    method: str,
    uri: str,
    nonce: str,
    *,
    qop: str | None = None,
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The `response` in hex (RFC 7616 section 3.4.1).

    Args:
        algorithm: one of `ALGORITHMS`.
        a1: what `hash_a1` gave, also for the `-sess` algorithms.
        qop: "auth", "auth-int", or None where the challenge had none (RFC 2069).
        nc: the nonce count as it is written in the header.
        body: counts for "auth-int" only.
    """
    digest = _HASHES[algorithm.removesuffix("-sess")]

    def of(text: str) -> str:
        return digest(text.encode("utf-8", "surrogateescape"))

    if algorithm.endswith("-sess"):
        a1 = of(f"{a1}:{nonce}:{cnonce}")
    a2 = f"{method}:{uri}"
    if qop == "auth-int":
        a2 = f"{a2}:{digest(body)}"
    if qop is None:
        return of(f"{a1}:{nonce}:{of(a2)}")
    return of(f"{a1}:{nonce}:{nc}:{cnonce}:{qop}:{of(a2)}")


@dataclass(frozen=True, slots=True)
class _Question:
    """What a response depends on, but for the password."""

    algorithm: str
    username: str
    realm: str
    method: str
    uri: str
    nonce: str
    qop: str | None
    nc: str
    cnonce: str
    body: bytes

    def response(self, password: Secret) -> str:
        a1 = hash_a1(self.algorithm, self.username, self.realm, password.reveal())
        return digest_response(
            self.algorithm,
            a1,
            self.method,
            self.uri,
            self.nonce,
            qop=self.qop,
            nc=self.nc,
            cnonce=self.cnonce,
            body=self.body,
        )

    @property
    def inputs(self) -> tuple[object, ...]:
        """For the oracle; a body only where it counts."""
        body = self.body if self.qop == "auth-int" else b""
        protected = (self.algorithm, self.username, self.realm, self.nonce, self.qop, self.nc, self.cnonce)
        return (*protected, self.method, self.uri, body)


# ------------------------------------------------------------------------------------------------------------- client


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A challenge that can be answered."""

    realm: str
    nonce: str
    algorithm: str
    stated_algorithm: str | None
    qop: str | None
    opaque: str | None
    userhash: bool


def _acceptable(challenge: Challenge, algorithms: Sequence[str]) -> _Accepted | None:
    realm = challenge.parameter("realm")
    nonce = challenge.parameter("nonce")
    stated = challenge.parameter("algorithm")
    algorithm = _algorithm(stated)
    if challenge.scheme.lower() != "digest" or realm is None or not nonce or algorithm not in algorithms:
        return None
    assert algorithm is not None
    qop: str | None = None
    offered = challenge.parameter("qop")
    if offered is not None:
        options = [option.strip().lower() for option in offered.split(",")]
        # "auth" first: border elements rewrite bodies, and "auth-int" then fails
        qop = next((option for option in ("auth", "auth-int") if option in options), None)
        if qop is None:
            return None
    userhash = (challenge.parameter("userhash") or "").lower() == "true"
    return _Accepted(realm, nonce, algorithm, stated, qop, challenge.parameter("opaque"), userhash)


class DigestClient:
    """The credentials for one realm: answers its challenges, and goes on with the nonce until it is refused."""

    __slots__ = ("_algorithms", "_challenge", "_cnonce", "_context", "_count", "_password", "_stale", "_username")

    def __init__(
        self, context: Context, username: str, password: Secret, *, algorithms: Sequence[str] = ALGORITHMS
    ) -> None:
        """`algorithms`: those that may be used; challenges with others are passed over."""
        self._context = context
        self._algorithms = tuple(algorithms)
        self._username = username
        self._password = password
        self._challenge: _Accepted | None = None
        self._cnonce = ""
        self._count = 0
        self._stale = 0

    @property
    def ready(self) -> bool:
        """Whether a challenge has come that `authorization` can answer, before the server asks again too."""
        return self._challenge is not None

    @property
    def realm(self) -> str | None:
        """The realm of the challenge in use."""
        return self._challenge.realm if self._challenge is not None else None

    def challenged(self, challenges: Iterable[Challenge], *, sent: Credentials | None = None) -> bool:
        """A 401 or 407 has come. Whether the request is worth sending again, with a new `authorization`.

        It is not where no challenge can be answered, and where the server has refused our answer to a fresh
        challenge: the password is wrong, and RFC 3261 section 22.3 forbids trying it again.

        Args:
            sent: the credentials for this realm that the refused request carried, if it carried any.
        """
        judged = ((challenge, _acceptable(challenge, self._algorithms)) for challenge in challenges)
        found = [(challenge, accepted) for challenge, accepted in judged if accepted is not None]
        if not found:
            return False
        # RFC 8760 section 2.4 lets local policy overrule the order of the challenges: the strongest one; among
        # equals `min` takes the topmost.
        challenge, accepted = min(found, key=lambda pair: ALGORITHMS.index(pair[1].algorithm))
        if sent is None:
            self._stale = 0
        elif (challenge.parameter("stale") or "").lower() == "true":
            # A nonce that has served before has had its time; what must end is a server that likes none of them.
            self._stale = 1 if self._has_served(sent) else self._stale + 1
            if self._stale > MAX_STALE:
                return False
        elif sent.parameter("nonce") == accepted.nonce or not self._has_served(sent):
            return False
        if self._challenge is None or self._challenge.nonce != accepted.nonce:
            # The -sess algorithms hash the first cnonce into the session key, and keep it as long as the nonce; for the
            # others each request has one of its own.
            self._cnonce = self._context.entropy.cnonce()
            self._count = 0
        self._challenge = accepted
        return True

    def next_nonce(self, info: str) -> None:
        """The value of Authentication-Info: takes the `nextnonce` for the requests to come (RFC 7616 section 3.5)."""
        try:
            nonce = Challenge.parse(f"Digest {info}").parameter("nextnonce")
        except ParseError:
            return
        if self._challenge is not None and nonce and nonce != self._challenge.nonce:
            self._challenge = replace(self._challenge, nonce=nonce)
            self._cnonce = self._context.entropy.cnonce()
            self._count = 0

    def authorization(self, method: str, uri: str, body: bytes = b"") -> str:
        """The value of Authorization or Proxy-Authorization for a request. `uri` is its Request-URI as text.

        Raises:
            LocalProtocolError: no challenge has come yet.
        """
        challenge = self._challenge
        if challenge is None:
            raise LocalProtocolError("cannot authorize: no challenge yet; send the request and answer its 401 or 407")
        self._count += 1
        if self._count > 1 and not challenge.algorithm.endswith("-sess"):
            self._cnonce = self._context.entropy.cnonce()
        nc = f"{self._count:08x}" if challenge.qop is not None else ""
        cnonce = self._cnonce if challenge.qop is not None or challenge.algorithm.endswith("-sess") else ""
        question = _Question(
            challenge.algorithm,
            self._username,
            challenge.realm,
            method,
            uri,
            challenge.nonce,
            challenge.qop,
            nc,
            cnonce,
            body,
        )
        # Who has the response can try passwords on it, so a trace keeps its length alone.
        response = self._context.oracle.consult(
            "digest_response",
            lambda: question.response(self._password),
            *question.inputs,
            disclosure=Disclosure.OPAQUE,
        )
        rows: list[tuple[str, str | None]] = [
            ("username", Quoted(self._shown_name(challenge))),
            ("realm", Quoted(challenge.realm)),
            ("nonce", Quoted(challenge.nonce)),
            ("uri", Quoted(uri)),
            ("response", Quoted(response)),
        ]
        if challenge.stated_algorithm is not None:
            rows.append(("algorithm", challenge.algorithm))
        if cnonce:
            rows.append(("cnonce", Quoted(cnonce)))
        if challenge.opaque is not None:
            rows.append(("opaque", Quoted(challenge.opaque)))
        if challenge.qop is not None:
            rows += [("qop", challenge.qop), ("nc", nc)]
        if challenge.userhash:
            rows.append(("userhash", "true"))
        return str(Credentials("Digest", tuple(rows)))

    def _shown_name(self, challenge: _Accepted) -> str:
        """RFC 7616 section 3.4.4: "username = H( unq(username) ":" unq(realm) )" where the server understands that."""
        if not challenge.userhash:
            return self._username
        digest = _HASHES[challenge.algorithm.removesuffix("-sess")]
        return digest(f"{self._username}:{challenge.realm}".encode("utf-8", "surrogateescape"))

    def _has_served(self, sent: Credentials) -> bool:
        """Whether these credentials were not the first with their nonce, so that its age may be all that is wrong."""
        nc = sent.parameter("nc")
        if nc is not None:
            return nc.lstrip("0") != "1"
        # Without qop there is no count on the wire; our own is that of the latest nonce.
        return self._challenge is not None and sent.parameter("nonce") == self._challenge.nonce and self._count > 1


# ------------------------------------------------------------------------------------------------------------- server


class Outcome(Enum):
    """What a server makes of credentials."""

    ACCEPTED = "accepted"
    STALE = "stale"  # right, or unknowable, but with an old nonce: challenge again with `stale`
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verification:
    """The judgement on credentials, and the user that they name."""

    outcome: Outcome
    username: str = ""


@dataclass(slots=True)
class _Nonce:
    expires: float
    highest: int = 0
    seen: int = 0  # bit n: the count `highest - n` has been used

    def use(self, count: int) -> bool:
        """Takes note of a nonce count; False if it was used before or is too far behind."""
        if count > self.highest:
            self.seen = (self.seen << min(count - self.highest, _NC_WINDOW) | 1) & ((1 << _NC_WINDOW) - 1)
            self.highest = count
            return True
        behind = self.highest - count
        if behind >= _NC_WINDOW or self.seen >> behind & 1:
            return False
        self.seen |= 1 << behind
        return True


class DigestServer:
    """One protection space: makes challenges, and judges the credentials that come back."""

    __slots__ = ("_algorithms", "_context", "_lifetime", "_nonces", "realm")

    def __init__(
        self,
        context: Context,
        realm: str,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        *,
        nonce_lifetime: float = NONCE_LIFETIME,
    ) -> None:
        """`algorithms` are offered in this order, the preferred one first (RFC 8760 section 2.3)."""
        assert all(name in ALGORITHMS for name in algorithms)
        self.realm = realm
        self._context = context
        self._algorithms = tuple(algorithms)
        self._lifetime = nonce_lifetime
        self._nonces: dict[str, _Nonce] = {}

    def challenges(self, *, stale: bool = False, now: float) -> tuple[Challenge, ...]:
        """One for each algorithm, each for a WWW-Authenticate row of its own, all with one new nonce."""
        while len(self._nonces) >= MAX_NONCES:
            del self._nonces[next(iter(self._nonces))]
        nonce = self._context.entropy.nonce()
        self._nonces[nonce] = _Nonce(now + self._lifetime)
        rows: Parameters = (("realm", Quoted(self.realm)), ("nonce", Quoted(nonce)))
        if stale:
            rows = (*rows, ("stale", "true"))
        rows = (*rows, ("qop", Quoted("auth,auth-int")))
        return tuple(Challenge("Digest", (*rows, ("algorithm", name))) for name in self._algorithms)

    def verify(
        self, credentials: Credentials, method: str, users: Mapping[str, Secret], body: bytes = b"", *, now: float
    ) -> Verification:
        """Judges credentials. `users` maps names to passwords; those for another realm are refused."""
        username = credentials.parameter("username")
        nonce = credentials.parameter("nonce")
        uri = credentials.parameter("uri")
        given = credentials.parameter("response")
        algorithm = _algorithm(credentials.parameter("algorithm"))
        qop = credentials.parameter("qop")
        qop = qop if qop is None else qop.lower()
        if (
            credentials.scheme.lower() != "digest"
            or credentials.parameter("realm") != self.realm
            or algorithm not in self._algorithms
            or username is None
            or nonce is None
            or uri is None
            or given is None
            or qop not in (None, "auth", "auth-int")
        ):
            return Verification(Outcome.REFUSED, username or "")
        nc = credentials.parameter("nc") or ""
        cnonce = credentials.parameter("cnonce") or ""
        try:
            # Without qop there is no count: the nonce is good once.
            count = 1 if qop is None else _nonce_count(nc)
        except ParseError:
            return Verification(Outcome.REFUSED, username)
        known = users.get(username)
        password = known if known is not None else Secret("")  # the same work for a name that nobody has
        question = _Question(algorithm, username, self.realm, method, uri, nonce, qop, nc, cnonce, body)
        claimed = given.lower().encode("utf-8", "surrogateescape")
        right = self._context.oracle.consult(
            "digest_check",
            lambda: hmac.compare_digest(question.response(password).encode(), claimed),
            *question.inputs,
        )
        if known is None or not right:
            return Verification(Outcome.REFUSED, username)
        row = self._nonces.get(nonce)
        # RFC 7616 section 3.3: stale says that "the client may wish to simply retry the request with a new encrypted
        # response, without reprompting the user for a new username and password".
        if row is None or row.expires <= now or not row.use(count):
            return Verification(Outcome.STALE, username)
        return Verification(Outcome.ACCEPTED, username)


def _nonce_count(text: str) -> int:
    """nc-value = 8LHEX; nine digits have been seen."""
    if not 0 < len(text) <= 16:
        raise ParseError("bad nonce count", status=400)
    try:
        return int(text, 16)
    except ValueError:
        raise ParseError("bad nonce count", status=400) from None
