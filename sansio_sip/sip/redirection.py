"""Where a 3xx response points to (RFC 3261 section 8.1.3.4), and the order of contacts (section 20.10)."""

from collections.abc import Iterable

from .headers import STAR, NameAddress
from .message import Response
from .uri import SipUri

__all__ = ["by_preference", "preference", "redirect_contacts", "status_is_redirect"]

MAX_CONTACTS = 16
"""Contacts of one 3xx that are looked at: each may become a request of ours to a host of a stranger's choice."""


def preference(contact: NameAddress) -> float:
    """The `q` of a contact, 0 to 1; 1 where there is none, or none that can be read."""
    text = contact.parameter("q")
    try:
        value = float(text) if text else 1.0
    except ValueError:
        return 1.0
    return value if 0.0 <= value <= 1.0 else 1.0


def by_preference(contacts: Iterable[NameAddress]) -> tuple[NameAddress, ...]:
    """The contacts, highest `q` first; among equals in the order in which they came."""
    return tuple(sorted(contacts, key=lambda contact: -preference(contact)))


def status_is_redirect(response: Response) -> bool:
    """Whether a response says to ask elsewhere. What 380 (Alternative Service) says is for people."""
    return response.status in (300, 301, 302, 305)


def redirect_contacts(response: Response) -> tuple[SipUri, ...]:
    """The SIP URIs to try instead, best first, each once.

    Raises:
        ParseError: Contact cannot be read.
    """
    found = [contact for contact in response.contacts if contact is not STAR]
    uris: list[SipUri] = []
    for contact in by_preference(found)[:MAX_CONTACTS]:
        uri = contact.uri
        if isinstance(uri, SipUri) and not any(uri.equivalent(known) for known in uris):
            uris.append(uri)
    return tuple(uris)
