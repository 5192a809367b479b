"""Where a call goes that is redirected (RFC 3261 section 8.1.3.4), with an end to loops.

Contacts of a 3xx are tried one after the other, the most wanted first, those of a later 3xx before those of an earlier;
none is tried twice, none is called whom the account may not call, and only `CallPolicy.max_redirects` answers are
followed.
"""

from sansio_sip.errors import ParseError

from .message import Response
from .policy import CallPolicy, Consent
from .redirection import redirect_contacts, status_is_redirect
from .uri import SipUri

__all__ = ["RedirectedCall"]


class RedirectedCall:
    """The targets of one call that wait to be tried.

    Args:
        prefixes: what the user part of each must begin with, one of these; empty: anything.
    """

    def __init__(self, policy: CallPolicy, prefixes: tuple[str, ...] = ()) -> None:
        self._policy = policy
        self._prefixes = prefixes
        self._tried: list[SipUri] = []
        self._waiting: list[SipUri] = []
        self._followed = 0

    def begin(self, target: SipUri) -> None:
        self._tried = [target]

    def next(self, response: Response) -> SipUri | None:
        """Where to call after this failure; None where nobody is left to be tried."""
        if self._policy.redirect is not Consent.ALLOW:
            return None
        if status_is_redirect(response):
            if self._followed >= self._policy.max_redirects:
                return None
            self._followed += 1
            try:
                found = redirect_contacts(response)
            except ParseError:
                found = ()
            # RFC 3261 section 19.1.5: headers in a URI could change anything in a request of ours, so none is taken.
            self._waiting[:0] = [uri for uri in found if not uri.headers and self._permits(uri)]
        # Section 21.6: a 6xx says "that a server has definitive information about a particular user".
        elif response.status >= 600:
            return None
        while self._waiting:
            target = self._waiting.pop(0)
            if not any(target.equivalent(tried) for tried in self._tried):
                self._tried.append(target)
                return target
        return None

    def _permits(self, uri: SipUri) -> bool:
        return self._policy.permits(uri) and (not self._prefixes or (uri.user or "").startswith(self._prefixes))
