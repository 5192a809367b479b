"""Messages and hops for the tests of transactions."""

from sansio_sip.effects import Address, FlowId
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri

__all__ = ["TCP", "UDP", "answer", "request"]

ALICE, BOB = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)

UDP = Hop("UDP", BOB, ALICE, FlowId("udp"))
TCP = Hop("TCP", BOB, ALICE, FlowId("tcp"))


def request(
    method: str = "INVITE",
    *,
    branch: str = "z9hG4bK1",
    transport: str = "UDP",
    via: str | None = None,
    to_tag: str = "",
    number: int = 1,
    rows: tuple[tuple[str, str], ...] = (),
) -> Request:
    """A request of alice's to bob; an ACK belongs to her INVITE of the same number."""
    return Request(
        method,
        SipUri("biloxi.example.com", "bob"),
        [
            ("Via", via or f"SIP/2.0/{transport} 192.0.2.1:5060;branch={branch}"),
            ("Max-Forwards", "70"),
            ("From", "Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl"),
            ("To", "Bob <sip:bob@biloxi.example.com>" + (f";tag={to_tag}" if to_tag else "")),
            ("Call-ID", "3848276298220188511@atlanta.example.com"),
            ("CSeq", f"{number} {method}"),
            *rows,
        ],
    )


def answer(to: Request, status: int, tag: str = "8321234356") -> Response:
    return to.response(status, to_tag=None if status == 100 else tag)
