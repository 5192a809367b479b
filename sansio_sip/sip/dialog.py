"""Dialogs (RFC 3261 section 12): who talks to whom, by which way, under which numbers.

Theory of operation
-------------------
A `Dialog` is a value with a memory, not a machine: it has no timers and sends nothing. Its owner makes it from the
pair of an INVITE and a response (`as_caller`, `as_callee`), asks it for the next request (`request`, `ack`), and shows
it each request of the peer (`admit`). It holds what RFC 3261 calls the dialog state: both tags, both sequence numbers,
both addresses, the remote target, the route set.

What couples to what: the remote target moves with each target refresh (a re-INVITE and its 2xx); the route set never
moves once the dialog is confirmed; a 2xx sets both anew on the caller's side.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from sansio_sip.errors import ParseError

from .headers import STAR, CSeq, NameAddress
from .message import Headers, Message, Request, Response
from .session_headers import Replaces
from .uri import SipUri, Uri

__all__ = ["MAX_CSEQ", "MAX_ROUTES", "Dialog", "DialogId", "DialogState", "is_readable"]

MAX_CSEQ = 2**31 - 1
"""RFC 3261 section 8.1.1.5: "The sequence number value MUST be expressible as a 32-bit unsigned integer and MUST be
less than 2**31."""

MAX_ROUTES = 32
"""Proxies that one dialog may name; each request would carry all of them. Real paths have under ten."""

MAX_FORWARDS = "70"  # RFC 3261 section 8.1.1.6


class DialogState(Enum):
    """RFC 3261 section 12::

        INVITE sent or received
                 | 101-199 with a To tag
                 v
    +-------- EARLY ----------+
    |            | 2xx        | failure, or the INVITE is over
    | 2xx        v            v
    +------> CONFIRMED --> TERMINATED
                     BYE, 481, 408
    """

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class DialogId:
    """What tells dialogs apart (RFC 3261 section 12). A peer of RFC 2543 has no tag: then `remote_tag` is empty."""

    call_id: str
    local_tag: str
    remote_tag: str


@dataclass(slots=True)
class Dialog:
    """The state of one dialog.

    Attributes:
        role: which side of the INVITE we were; the owner of the Call-ID is the caller.
        local, remote: From and To of our requests, tags included.
        remote_target: the Request-URI of our requests: the peer's Contact.
        route_set: proxies in the order in which our requests meet them.
        local_sequence: number of our latest request, 0 before the first.
        remote_sequence: number of the peer's latest request, None before the first.
    """

    role: Literal["caller", "callee"]
    state: DialogState
    call_id: str
    local: NameAddress
    remote: NameAddress
    remote_target: Uri
    route_set: tuple[NameAddress, ...]
    local_sequence: int
    remote_sequence: int | None

    @classmethod
    def as_caller(cls, request: Request, response: Response) -> "Dialog":
        """The dialog that a response to our INVITE makes (RFC 3261 section 12.1.2).

        Raises:
            ParseError: a header of the response that matters here cannot be read.
        """
        dialog = cls(
            role="caller",
            state=DialogState.EARLY,
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            remote_target=request.uri,
            route_set=(),
            local_sequence=request.cseq.number,
            remote_sequence=None,
        )
        dialog._learn(response)
        if response.status >= 200:
            dialog.state = DialogState.CONFIRMED
        return dialog

    @classmethod
    def as_callee(cls, request: Request, local_tag: str) -> "Dialog":
        """The dialog that our response with `local_tag` to an INVITE makes (RFC 3261 section 12.1.1).

        Raises:
            ParseError: a header of the request that matters here cannot be read.
        """
        remote = request.from_
        return cls(
            role="callee",
            state=DialogState.EARLY,
            call_id=request.call_id,
            local=request.to.with_tag(local_tag),
            remote=remote,
            remote_target=_contact(request) or remote.uri,
            # "The route set MUST be set to the list of URIs in the Record-Route header field from the request, taken
            # in order and preserving all URI parameters."
            route_set=_record_routes(request),
            local_sequence=0,
            remote_sequence=request.cseq.number,
        )

    @property
    def id(self) -> DialogId:
        return DialogId(self.call_id, self.local.tag or "", self.remote.tag or "")

    def as_replaced_by_peer(self) -> Replaces:
        """What whoever is to take our place says to our peer (RFC 3891)."""
        return Replaces.of_dialog(self.call_id, self.remote.tag or "0", self.local.tag or "")

    def peer_uri(self, *, has_server: bool) -> SipUri | None:
        """Where our peer can be reached by somebody else; None where that is no SIP URI.

        Her Contact, where that reaches her from anywhere (RFC 5627) or there is no server; else her address of record,
        for the Contact of a phone behind a flow of its own is known to her server alone.
        """
        target, address = self.remote_target, self.remote.uri
        if isinstance(target, SipUri) and (target.has_parameter("gr") or not has_server):
            return replace(target, headers=())
        return replace(address, headers=()) if isinstance(address, SipUri) else None

    @property
    def next_hop(self) -> Uri:
        """The URI that decides where our requests go (RFC 3261 section 8.1.2)."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def confirm(self, response: Response) -> None:
        """A 2xx to our INVITE has come for this early dialog."""
        # RFC 3261 section 13.2.2.4: "If the dialog identifier in the 2xx response matches the dialog identifier of an
        # existing dialog, the dialog MUST be transitioned to the "confirmed" state, and the route set for the dialog
        # MUST be recomputed based on the 2xx response using the procedures of Section 12.2.1.2."
        self._learn(response)
        self.state = DialogState.CONFIRMED

    def terminate(self) -> None:
        self.state = DialogState.TERMINATED

    def refresh_target(self, message: Message) -> None:
        """A target refresh: the peer's re-INVITE, or its 2xx to ours (RFC 3261 sections 12.2.1.2 and 12.2.2).

        Raises:
            ParseError: the Contact cannot be read.
        """
        self.remote_target = _contact(message) or self.remote_target

    def admit(self, request: Request) -> int:
        """Takes note of a request of the peer. Returns the status to refuse it with, or 0.

        ACK and CANCEL have the number of their INVITE and are not to be shown here.
        """
        number = request.cseq.number
        # RFC 3261 section 12.2.2: "If the remote sequence number was not empty, but the sequence number of the
        # request is lower than the remote sequence number, the request is out of order and MUST be rejected with a
        # 500 (Server Internal Error) response." One that is equal is no copy (a transaction has absorbed those), so
        # it is out of order as well.
        if self.remote_sequence is not None and number <= self.remote_sequence:
            return 500
        self.remote_sequence = number
        return 0

    def request(self, method: str, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> Request:
        """The next request of ours (RFC 3261 section 12.2.1.1), without Via: that is added on its way out."""
        self.local_sequence += 1
        return self._build(method, self.local_sequence, headers, body)

    def again(self, request: Request) -> Request:
        """The same request under the next number: after a challenge, say (RFC 3261 section 22.2)."""
        self.local_sequence += 1
        renumbered = request.copy()
        renumbered.headers.set("CSeq", str(CSeq(self.local_sequence, request.method)))
        return renumbered

    def ack(self, sequence: int, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> Request:
        """The ACK to a 2xx to our INVITE with that number (RFC 3261 section 13.2.2.4)."""
        return self._build("ACK", sequence, headers, body)

    def _build(self, method: str, sequence: int, extra: tuple[tuple[str, str], ...], body: bytes) -> Request:
        target, routes = self._path()
        headers = Headers()
        for route in routes:
            headers.add("Route", str(route))
        headers.add("Max-Forwards", MAX_FORWARDS)
        headers.add("From", str(self.local))
        headers.add("To", str(self.remote))
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", str(CSeq(sequence, method)))
        for name, value in extra:
            headers.add(name, value)
        return Request(method, target, headers, body)

    def _path(self) -> tuple[Uri, tuple[NameAddress, ...]]:
        """Request-URI and Route rows."""
        if not self.route_set:
            return self.remote_target, ()
        first = self.route_set[0].uri
        # "If the route set is not empty, and the first URI in the route set contains the lr parameter [...], the UAC
        # MUST place the remote target URI into the Request-URI and MUST include a Route header field containing the
        # route set values in order, including all parameters."
        if not isinstance(first, SipUri) or first.has_parameter("lr"):
            return self.remote_target, self.route_set
        # "If the route set is not empty, and its first URI does not contain the lr parameter, the UAC MUST place the
        # first URI from the route set into the Request-URI, stripping any parameters that are not allowed in a
        # Request-URI. The UAC MUST add a Route header field containing the remainder of the route set values in
        # order, including all parameters. The UAC MUST then place the remote target URI into the Route header field
        # as the last value."
        parameters = tuple((name, value) for name, value in first.parameters if name.lower() != "method")
        return replace(first, parameters=parameters, headers=()), (*self.route_set[1:], NameAddress(self.remote_target))

    def _learn(self, response: Response) -> None:
        # RFC 3261 section 12.1.2: "The route set MUST be set to the list of URIs in the Record-Route header field
        # from the response, taken in reverse order and preserving all URI parameters."
        self.route_set = tuple(reversed(_record_routes(response)))
        self.remote_target = _contact(response) or self.remote_target


def is_readable(message: Message) -> bool:
    """Whether a dialog can take the message: its methods do not raise for it then."""
    try:
        _contact(message)
        _record_routes(message)
    except ParseError:
        return False
    return True


def _contact(message: Message) -> Uri | None:
    """The first Contact's URI; None where there is none, or only `*`."""
    for contact in message.contacts:
        if contact is not STAR:
            return contact.uri
    return None


def _record_routes(message: Message) -> tuple[NameAddress, ...]:
    routes = message.record_routes
    if len(routes) > MAX_ROUTES:
        raise ParseError(f"Record-Route names {len(routes)} proxies: at most {MAX_ROUTES} are taken", status=400)
    return tuple(routes)
