"""Flow tokens: by which flow a request of a dialog shall leave, in our own Record-Route (RFC 5626 section 5.2).

A device behind a WebSocket or a NAT can be reached only by the flow that it has opened. The token names flow and far
address, and is signed with a key that is drawn anew for each server, so nobody can aim our messages by making one up.
Nothing is kept for a token, so none can be piled up.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId
from sansio_sip.sip.message import Request
from sansio_sip.sip.transport import TRANSPORTS, Hop

__all__ = ["FlowTokens"]

# RFC 5626's example truncates its HMAC to 80 bits: far beyond guessing over a network.
SIGNATURE = 10
MAX_TOKEN = 256


class FlowTokens:
    """Makes and reads tokens."""

    def __init__(self, context: Context) -> None:
        self._key = context.entropy.flow_key()

    def make(self, hop: Hop) -> str:
        """The token of a hop that has a flow; letters, digits, `-` and `_`."""
        address = hop.address or Address("", 0)
        content = " ".join((hop.transport, hop.flow or "", address.host, str(address.port))).encode()
        return urlsafe_b64encode(self._sign(content) + content).decode("ascii").rstrip("=")

    def read(self, token: str) -> Hop | None:
        """The hop of a token that we have made; None for any other text. Its `local` is not known."""
        if len(token) > MAX_TOKEN or not token.isascii():
            return None
        try:
            octets = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        signature, content = octets[:SIGNATURE], octets[SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(content)):
            return None
        transport, flow, host, port = content.decode().split(" ")
        assert transport in TRANSPORTS
        return Hop(transport, Address(host, int(port)) if host else None, None, FlowId(flow))

    def stateless_tag(self, request: Request) -> str:
        """The To tag of a response that nothing is kept of: a copy of the request gets it again (section 8.2.7)."""
        parts = (request.call_id, str(request.cseq), request.from_.tag or "", request.top_via.branch or "")
        return self._sign("\n".join(parts).encode("utf-8", "surrogateescape")).hex()

    def _sign(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, sha256)[:SIGNATURE]
