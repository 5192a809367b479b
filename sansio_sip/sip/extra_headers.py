"""Rows that an account adds to its REGISTER and INVITE requests."""

from sansio_sip.context import Context, Disclosure, Secret

from .call_events import HeaderRows

__all__ = ["ExtraHeaders"]

ACCESS_TOKEN = "X-Plivo-Jwt"


class ExtraHeaders:
    """What goes along besides the headers of SIP. The account changes it; each request is written with it as it is.

    Attributes:
        token: an access token, or None.
    """

    def __init__(self, context: Context, token: Secret | None = None) -> None:
        self._context = context
        self.token = token

    def rows(self) -> HeaderRows:
        """For a REGISTER or an INVITE that begins a call. The token is a secret: a trace has only its length."""
        if self.token is None:
            return ()
        value = self._context.oracle.consult("access_token", self.token.reveal, disclosure=Disclosure.OPAQUE)
        return ((ACCESS_TOKEN, value),)
