"""What the shipped service answers at `admin@domain`: a client's keepalive, and its question for its own address."""

from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.transport import Hop

__all__ = ["ADMIN", "answer_admin"]

ADMIN = "admin"


def answer_admin(request: Request, hop: Hop, registrar: str, unix_time: float, to_tag: str) -> Response:
    """The response to a request for the administrator.

    OPTIONS, the keepalive, is answered 404: clients of the shipped service take that, and nothing else, for a sign of
    life. MESSAGE asks with the body `ipAddress` where it has come from.
    """
    if request.method == "MESSAGE" and request.body.strip() == b"ipAddress":
        seen = hop.address.host if hop.address is not None else ""
        headers = (
            ("X-PlivoRegistrarIP", registrar),
            ("X-Timestamp", str(int(unix_time))),
            ("Content-Type", "text/plain"),
        )
        return request.response(200, to_tag=to_tag, headers=headers, body=seen.encode())
    return request.response(404, to_tag=to_tag)
