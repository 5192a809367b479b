"""Our INVITE until somebody has answered it: its early dialogs, its later copies, an offer that waits for our answer.

Theory of operation
-------------------
`OutgoingInvite` writes the INVITE, also again (422, 3xx), and the PRACKs and ACKs that go with it; what a response
means to the call is the session's affair. Each way of a forked call is a `Branch`. Where our INVITE has no offer, the
first reliable response or the 2xx makes it: its PRACK or ACK waits for `answer`.
"""

from sansio_sip.context import Context

from .answer_retransmission import Answers
from .body import readable_description
from .branch import Branch, Branches
from .call_events import CallAccepted, CallProgress, CallRedirected, HeaderRows
from .dialog import Dialog
from .message import Response
from .redirected_call import RedirectedCall
from .renegotiation import FirstOffer, Renegotiation
from .sent_requests import Sent
from .session_state import MAX_BRANCHES
from .session_timer import SessionTimer
from .uri import SipUri
from .wire import Wire

__all__ = ["OutgoingInvite"]


class OutgoingInvite:
    """The caller's side of a call's first INVITE.

    Attributes:
        key: of the copy that counts.
        branches: the early dialogs.
    """

    def __init__(self, context: Context, wire: Wire, answers: Answers, timer: SessionTimer) -> None:
        self.key = 0
        self.branches = Branches()
        self._context = context
        self._wire = wire
        self._answers = answers
        self._timer = timer
        self._redirection = RedirectedCall(wire.identity.config.policy, wire.identity.config.outgoing_prefixes)
        self._offer = b""
        self._waiting: tuple[Sent, Branch] | None = None  # a 2xx, for the answer that goes in its ACK

    def place(self, target: SipUri, call_id: str, body: bytes, headers: HeaderRows) -> None:
        """Sends it (RFC 3261 section 13.2.1)."""
        rows = (*headers, *self._timer.request_headers())
        request = self._wire.identity.invite(target, call_id, self._wire.local_tag, body, rows)
        self._offer = body
        self._redirection.begin(target)
        self._wire.put(output := self._wire.sent.invite(request))
        self.key = output.key

    def again(self, key: int) -> None:
        """It has gone again; its early dialogs went with the refused one."""
        self._wire.put(self._wire.sent.sending(key))
        self.key = key
        self.branches.clear()

    def retried(self, sent: Sent, response: Response) -> bool:
        """Whether a failure has made it go again: for longer, or to somebody else."""
        if response.status == 422 and self._timer.too_small(response):
            self.again(self._wire.sent.repeat(sent, self._timer.request_headers()).key)
            return True
        target = self._redirection.next(response)
        if target is None:
            return False
        self.again(self._wire.sent.redirect(sent, target).key)
        self._wire.put(CallRedirected(self._wire.call, str(target)))
        return True

    def progress(self, sent: Sent, response: Response, tag: str) -> None:
        """A provisional response of the branch `tag`. Gives CallProgress, unless it is a copy."""
        branch = self.branches.get(tag)
        if branch is None:
            if len(self.branches) >= MAX_BRANCHES:
                return
            branch = self._make_branch(sent, response)
            self.branches.add(branch)
        description = readable_description(response)
        # An offer that was answered in a PRACK may stand in later responses again: a copy, with nothing to answer.
        is_offer = description is not None and not self._offer and not branch.answered
        reliable = branch.is_reliable(response)
        if reliable and not branch.acknowledge(self._wire, sent.request, response, waits=is_offer):
            return  # a copy, or one before it is missing
        branch.renegotiation.learn(response)
        if reliable and description is not None:
            branch.renegotiation.pending = FirstOffer.THEIRS if is_offer else FirstOffer.NONE
        if is_offer and not reliable:
            # RFC 3261 section 13.2.1: an offer may stand in a 2xx or a reliable response, and nowhere else.
            description, is_offer = None, False
        headers = tuple(response.headers)
        self._wire.put(CallProgress(self._wire.call, response.status, tag, description, headers, is_offer))

    def surplus(self, sent: Sent, response: Response) -> Branch | None:
        """A 2xx that comes too late to be wanted: it is acknowledged. None where there have been too many."""
        branch = self._confirmed(sent, response)
        if branch is not None:
            self._wire.put(self._wire.sent.acknowledge(sent, branch.dialog, branch.dialog.id.remote_tag))
        return branch

    def accepted(self, sent: Sent, response: Response, *, now: float) -> Branch | None:
        """The first 2xx. Gives CallAccepted."""
        branch = self._confirmed(sent, response)
        if branch is None:
            return None
        tag = branch.dialog.id.remote_tag
        description = readable_description(response)
        is_offer = description is not None and not self._offer and not branch.answered
        if is_offer:
            self._waiting = (sent, branch)
        else:
            self._wire.put(self._wire.sent.acknowledge(sent, branch.dialog, tag))
        self.branches.clear()
        self._timer.accepted(response, now=now)
        branch.renegotiation.learn(response)
        branch.renegotiation.pending = FirstOffer.THEIRS if is_offer else FirstOffer.NONE
        headers = tuple(response.headers)
        self._wire.put(CallAccepted(self._wire.call, tag, description, headers, is_offer))
        return branch

    def answer(self, tag: str, body: bytes) -> bool:
        """Answers the offer of the branch `tag`, in a PRACK or the ACK. False where none waits there."""
        if self._waiting is None:
            branch = self.branches.get(tag)
            if branch is None or not branch.answer(self._wire, body):
                return False
        else:
            sent, branch = self._waiting
            if branch.dialog.id.remote_tag != tag:
                return False
            self._waiting = None
            self._wire.put(self._wire.sent.acknowledge(sent, branch.dialog, tag, body))
        branch.renegotiation.pending = FirstOffer.NONE
        branch.renegotiation.described(body)
        return True

    def leave_unanswered(self) -> None:
        """Acknowledges a 2xx whose offer nobody has answered: there is no BYE before the ACK."""
        if self._waiting is not None:
            sent, branch = self._waiting
            self._waiting = None
            self._wire.put(self._wire.sent.acknowledge(sent, branch.dialog, branch.dialog.id.remote_tag))

    def end(self) -> None:
        """The call is over."""
        self.branches.clear()
        self._waiting = None

    def _confirmed(self, sent: Sent, response: Response) -> Branch | None:
        # While a 2xx waits for its ACK others wait with it: they come again.
        if len(sent.acks) >= MAX_BRANCHES or self._waiting is not None:
            return None
        branch = self.branches.take(response.to.tag or "") or self._make_branch(sent, response)
        branch.dialog.confirm(response)
        return branch

    def _make_branch(self, sent: Sent, response: Response) -> Branch:
        dialog = Dialog.as_caller(sent.request, response)
        renegotiation = Renegotiation(self._context, self._wire, dialog, "caller", self._answers, self._timer)
        renegotiation.pending = FirstOffer.OURS if self._offer else FirstOffer.NONE
        renegotiation.described(self._offer)
        return Branch(dialog, renegotiation)
