"""Who sends a request: digest authentication as registrar and as proxy (RFC 3261 section 22)."""

from sansio_sip.context import Context
from sansio_sip.sip.digest import DigestServer, Outcome
from sansio_sip.sip.headers import Credentials
from sansio_sip.sip.message import Request

from .options import ServerOptions
from .router import Refusal

__all__ = ["Authenticator"]


class Authenticator:
    """Asks the users of the domain for their passwords. The realm is the domain."""

    def __init__(self, context: Context, options: ServerOptions) -> None:
        self._users = options.users
        self._digest = DigestServer(context, options.domain, options.digest_algorithms)

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
        return Refusal(status, None, tuple((header, str(challenge)) for challenge in challenges))
