"""What a proxy changes in the messages that it forwards, as pure functions (RFC 3261 sections 16.6 and 16.7)."""

from collections.abc import Sequence
from hashlib import sha256

from sansio_sip.sip.headers import NameAddress, Via
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.uri import SipUri, Uri

__all__ = [
    "choose_best",
    "forwarded_request",
    "forwarded_response",
    "loop_mark",
    "with_challenges",
]

INITIAL_MAX_FORWARDS = 70

# RFC 3261 section 16.6 step 4 and RFC 6665: requests that may begin a dialog.
DIALOG_METHODS = frozenset(("INVITE", "SUBSCRIBE", "REFER"))

# RFC 3261 section 16.7 step 6: "A proxy which receives a 503 (Service Unavailable) response SHOULD NOT forward it
# upstream unless it can determine that any subsequent requests it might proxy will also generate a 503."
DEMOTED = 503

# RFC 3261 section 16.7 step 6: responses "that provide information affecting resubmission of this request".
INFORMATIVE = (401, 407, 415, 420, 484)


def forwarded_request(
    request: Request,
    uri: Uri,
    via: Via,
    record_routes: Sequence[SipUri] = (),
    *,
    drop_credentials: bool,
    path: Sequence[NameAddress] = (),
) -> Request:
    """A copy of a request, ready to leave.

    Args:
        uri: of the target: the new Request-URI.
        via: our own, with a new branch.
        record_routes: our own, that towards the far side first; recorded only where the request may begin a dialog.
        path: the Routes that the target's registration came with, nearest first (RFC 3327).
        drop_credentials: the credentials were for us (section 22.3) and are nobody else's business.
    """
    copy = request.copy()
    copy.uri = uri
    left = request.max_forwards
    copy.headers.set("Max-Forwards", str(INITIAL_MAX_FORWARDS if left is None else left - 1))
    if request.method in DIALOG_METHODS and request.to.tag is None:
        for record_route in reversed(record_routes):
            copy.headers.insert_first("Record-Route", str(NameAddress(record_route)))
    for route in reversed(path):
        copy.headers.insert_first("Route", str(route))
    if drop_credentials:
        copy.headers.remove("Proxy-Authorization")
    copy.headers.insert_first("Via", str(via))
    return copy


def forwarded_response(response: Response) -> Response | None:
    """A copy of a response without our own Via; None where there is no other: then it was for us."""
    vias = response.via[1:]
    if not vias:
        return None
    copy = response.copy()
    copy.headers.set("Via", *(str(via) for via in vias))
    return copy


def loop_mark(request: Request) -> str:
    """What in a request decides where we send it, as a short text for our branch (section 16.6 step 8, RFC 5393).

    A request that comes back with all of this unchanged would go round for ever.
    """
    decisive = (
        str(request.uri),
        request.from_.tag or "",
        request.to.tag or "",
        request.call_id,
        str(request.cseq.number),
        request.method,
        *request.headers.get_all("Route"),
    )
    return sha256("\n".join(decisive).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def choose_best(responses: Sequence[Response]) -> Response:
    """The response to send back of those that all branches came to (section 16.7 step 6).

    Any 6xx; else of the lowest class, there what tells how to ask again, a 503 last; else the first that came.
    """
    return min(responses, key=_badness)


def _badness(response: Response) -> tuple[int, int]:
    status = response.status
    if status >= 600:
        return (0, 0)
    if status in INFORMATIVE:
        return (status // 100, 0)
    return (status // 100, 2 if status == DEMOTED else 1)


def with_challenges(best: Response, responses: Sequence[Response]) -> Response:
    """The chosen response with the challenges of all others, where it asks for credentials (section 16.7 step 7)."""
    if best.status not in (401, 407):
        return best
    copy = best.copy()
    for other in responses:
        if other is not best and other.status in (401, 407):
            for name in ("WWW-Authenticate", "Proxy-Authenticate"):
                for challenge in other.headers.get_all(name):
                    copy.headers.add(name, challenge)
    return copy
