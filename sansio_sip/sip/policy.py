"""What a peer may make this phone do: call somebody else, or put one call in another's place."""

from dataclasses import dataclass
from enum import Enum

from .uri import SipUri, Uri

__all__ = ["CallPolicy", "Consent"]


class Consent(Enum):
    REFUSE = "refuse"
    ASK = "ask"  # the application is told, and says so or not
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """The one place in which an application says what peers may ask for.

    REFER and 3xx make this phone place calls, which may cost money and show who is called, so nobody may unless told
    otherwise. Replaces only moves a call that is up, and needs three random words of it that none but its two ends and
    whoever one of them has told know (RFC 3891 section 8), so it is allowed.

    Attributes:
        refer: REFER in a call (RFC 3515): refused with 603, asked about (`TransferRequested`), or followed.
        redirect: 3xx to a call of ours: the call fails, or goes on to where the answer says. It cannot be asked about.
        replaces: INVITE with Replaces (RFC 3891): refused with 603, rings like any call, or is answered at once.
        domains: hosts to which REFER and 3xx may lead; empty: any.
        max_redirects: 3xx that one call follows, no URI twice: loops end there.
    """

    refer: Consent = Consent.REFUSE
    redirect: Consent = Consent.REFUSE
    replaces: Consent = Consent.ALLOW
    domains: tuple[str, ...] = ()
    max_redirects: int = 5

    def __post_init__(self) -> None:
        if self.redirect is Consent.ASK:
            raise ValueError("redirect is Consent.ASK: allowed are REFUSE and ALLOW")
        if not 1 <= self.max_redirects <= 20:
            raise ValueError(f"max_redirects is {self.max_redirects!r}: allowed are 1 to 20")

    def permits(self, uri: Uri) -> bool:
        """Whether REFER and 3xx may lead there."""
        if not isinstance(uri, SipUri):
            return False
        return not self.domains or uri.host.lower() in {domain.lower() for domain in self.domains}
