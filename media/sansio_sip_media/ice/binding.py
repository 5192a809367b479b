"""The Binding messages of ICE: what stands in a check, an answer and a refusal (RFC 8445 sections 7.1 and 7.3)."""

from sansio_sip.effects import Address

from . import stun
from .stun import Attribute, AttributeValue, StunClass, StunMessage, StunMethod

__all__ = ["REASONS", "answer", "indication", "refusal", "request"]

REASONS = {400: "Bad Request", 401: "Unauthenticated", 420: "Unknown Attribute", 487: "Role Conflict"}


def request(
    transaction_id: bytes,
    *,
    username: str,
    priority: int,
    controlling: bool,
    tie_breaker: int,
    nominate: bool,
    key: bytes,
) -> bytes:
    """A connectivity check, signed with the peer's password."""
    role = Attribute.ICE_CONTROLLING if controlling else Attribute.ICE_CONTROLLED
    attributes: dict[Attribute, AttributeValue] = {
        Attribute.USERNAME: username,
        Attribute.PRIORITY: priority,
        role: tie_breaker,
    }
    if nominate:
        attributes[Attribute.USE_CANDIDATE] = None
    return stun.encode(StunMessage(StunMethod.BINDING, StunClass.REQUEST, transaction_id, attributes), key=key)


def fault(message: StunMessage, key: bytes) -> int:
    """The error code that a request of the peer deserves (RFC 8445 section 7.3, RFC 8489 section 6.3.1); 0: none."""
    if not stun.check_integrity(message, key):
        return 401
    if message.unknown:
        return 420
    return 400 if message.number(Attribute.PRIORITY) is None else 0


def answer(to: StunMessage, source: Address, key: bytes) -> bytes:
    """The success response, signed with our password."""
    attributes: dict[Attribute, AttributeValue] = {Attribute.XOR_MAPPED_ADDRESS: source}
    return stun.encode(StunMessage(StunMethod.BINDING, StunClass.SUCCESS, to.transaction_id, attributes), key=key)


def refusal(to: StunMessage, code: int, key: bytes | None = None) -> bytes:
    """An error response; a 420 names the attributes. Unsigned where the request was not authenticated: there is no
    key that both sides know then (RFC 8489 section 9.1.3)."""
    attributes: dict[Attribute, AttributeValue] = {Attribute.ERROR_CODE: (code, REASONS[code])}
    if code == 420:
        attributes[Attribute.UNKNOWN_ATTRIBUTES] = to.unknown
    return stun.encode(StunMessage(StunMethod.BINDING, StunClass.ERROR, to.transaction_id, attributes), key=key)


def indication(transaction_id: bytes) -> bytes:
    """A keepalive (RFC 8445 section 11)."""
    return stun.encode(StunMessage(StunMethod.BINDING, StunClass.INDICATION, transaction_id))
