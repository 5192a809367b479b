"""What becomes of our requests within the dialog of a call, and whether the call outlives it.

The INVITE that begins the call and the BYE that ends it are the session's own affair. Of all others this knows what a
response, or none, means to the part that has asked; and what RFC 3261 section 12.2.1.2 wants done about the dialog.
"""

from typing import assert_never

from .branch import Branch
from .call_events import CallEnd, EndKind, InfoAnswered
from .message import Response
from .sent_requests import Purpose, Sent
from .transactions.outputs import FailureReason
from .transfer import Referrals
from .wire import Wire

__all__ = ["RequestOutcomes"]


class RequestOutcomes:
    """Tells the parts of one session, and its session how the dialog stands."""

    def __init__(self, wire: Wire, referrals: Referrals) -> None:
        self._wire = wire
        self._referrals = referrals

    def answered(self, sent: Sent, response: Response, branch: Branch | None, *, now: float) -> CallEnd | None:
        """A final response has come. `branch` is the dialog that counts. Returns the end of the call, if it is that."""
        match sent.purpose:
            case Purpose.REOFFER | Purpose.UPDATE:
                if branch is None or sent.dialog is not branch.dialog:
                    return None
                if 200 <= response.status < 300 and (response.to.tag or "") != branch.dialog.id.remote_tag:
                    return None
                branch.renegotiation.response(sent, response, now=now)
            case Purpose.REFER:
                self._referrals.response(sent.request.cseq.number, response, now=now)
            case Purpose.INFO:
                self._wire.put(InfoAnswered(self._wire.call, response.status))
            case Purpose.MESSAGE:
                pass
            case Purpose.NOTIFY:
                # A subscription that is gone ends no call (RFC 5057 section 5.1).
                if response.status in (408, 481):
                    self._referrals.unheard(sent.request)
                return None
            case Purpose.SURPLUS_BYE | Purpose.PRACK:
                return None  # what a PRACK is for has its own fate
            case Purpose.INVITE | Purpose.BYE:
                raise AssertionError(sent.purpose)
            case _:
                assert_never(sent.purpose)
        # RFC 3261 section 12.2.1.2: "If the response for a request within a dialog is a 481 [...] or a 408 [...], the
        # UAC SHOULD terminate the dialog."
        if response.status not in (408, 481):
            return None
        cause = "Request Timeout" if response.status == 408 else "Dialog Error"
        return CallEnd(EndKind.FAILED, "remote", response.status, cause)

    def failed(self, sent: Sent, reason: FailureReason, branch: Branch | None, *, now: float) -> CallEnd | None:
        """No response has come, and none will. Returns the end of the call, if it is that."""
        timed_out = reason is FailureReason.TIMEOUT
        status = 408 if timed_out else 503
        match sent.purpose:
            case Purpose.REOFFER | Purpose.UPDATE:
                if branch is not None:
                    branch.renegotiation.failed(status, now=now)
            case Purpose.REFER:
                self._referrals.failed(sent.request.cseq.number, status)
            case Purpose.INFO:
                self._wire.put(InfoAnswered(self._wire.call, status))
            case Purpose.MESSAGE:
                pass
            case Purpose.NOTIFY:
                self._referrals.unheard(sent.request)
                return None
            case Purpose.SURPLUS_BYE | Purpose.PRACK:
                return None
            case Purpose.INVITE | Purpose.BYE:
                raise AssertionError(sent.purpose)
            case _:
                assert_never(sent.purpose)
        # "A UAC SHOULD also terminate a dialog if no response at all is received for the request (the client
        # transaction would inform the TU about the timeout.)" A flow that broke says nothing of the peer.
        return CallEnd(EndKind.FAILED, "system", 408, "Request Timeout") if timed_out else None
