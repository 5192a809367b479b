"""Who sends a request: by an access token, or by digest as registrar and as proxy (RFC 3261 section 22)."""

from sansio_sip.auth import ERROR_HEADER, AccessToken, error_string
from sansio_sip.context import Context
from sansio_sip.sip.digest import DigestServer, Outcome
from sansio_sip.sip.headers import Credentials
from sansio_sip.sip.message import Request

from .access_tokens import BAD_GRANTS, AccessTokens
from .options import ServerOptions
from .router import Refusal

__all__ = ["Authenticator", "token_refusal"]


class Authenticator:
    """Asks the users of the domain for their passwords. The realm is the domain. Holders of tokens are not asked."""

    def __init__(self, context: Context, options: ServerOptions) -> None:
        self._users = options.users
        self._tokens = AccessTokens(context, options)
        self._digest = DigestServer(context, options.domain, options.digest_algorithms)

    def check_token(self, request: Request, *, now: float) -> AccessToken | Refusal | None:
        """Whose token a request shows, or the 403 to send; None where it shows none."""
        verdict = self._tokens.check(request, now=now)
        if verdict is None:
            return None
        if verdict.code or verdict.token is None:
            return token_refusal(verdict.code)
        if request.method == "INVITE" and verdict.token.outgoing_allow is False:
            return token_refusal(BAD_GRANTS)
        return verdict.token

    def check_user(self, request: Request, *, now: float) -> str | Refusal:
        """The user whose password a request to us (REGISTER) shows, or the 401 to send."""
        return self._check(request, request.authorization, 401, "WWW-Authenticate", now)

    def check_proxy(self, request: Request, *, now: float) -> str | Refusal:
        """The user whose password a request through us shows, or the 407 to send."""
        return self._check(request, request.proxy_authorization, 407, "Proxy-Authenticate", now)

    def _check(
        self, request: Request, given: tuple[Credentials, ...], status: int, header: str, now: float
    ) -> str | Refusal:
        stale = False
        for credentials in given:
            if credentials.parameter("realm") != self._digest.realm:
                continue
            verified = self._digest.verify(credentials, request.method, self._users, request.body, now=now)
            if verified.outcome is Outcome.ACCEPTED:
                return verified.username
            stale = verified.outcome is Outcome.STALE
            break  # one realm, one answer: a second would be a second guess at the password
        challenges = self._digest.challenges(stale=stale, now=now)
        if request.top_via.transport.upper() in ("WS", "WSS"):
            # JsSIP knows MD5 only and looks at the last challenge. RFC 8760 section 2.3 wants MD5 there anyway.
            challenges = tuple(sorted(challenges, key=lambda each: each.parameter("algorithm") == "MD5"))
        return Refusal(status, None, tuple((header, str(challenge)) for challenge in challenges))


def token_refusal(code: int) -> Refusal:
    """A 403 that says what is wrong with an access token."""
    return Refusal(403, error_string(code), ((ERROR_HEADER, str(code)),))
