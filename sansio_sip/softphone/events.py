"""Events of the phone: what a program is told.

Each class has the reference's name without its `on`; `event.name` is the reference's spelling and `event.as_dict()` has
the reference's keys. All are values: nothing in them changes later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from sansio_sip.sip.message_summary import MessageSummary

from .call_info import AccountId, CallInfo, CallUuid, HangupInfo
from .media_plane import MediaStatistics

__all__ = [
    "AudioReady",
    "CallAnswered",
    "CallConnected",
    "CallFailed",
    "CallHeld",
    "CallRedirected",
    "CallRemoteRinging",
    "CallReplaced",
    "CallResumed",
    "CallTerminated",
    "Calling",
    "Closed",
    "ConnectionChange",
    "DtmfReceived",
    "DtmfSent",
    "Event",
    "HoldFailed",
    "IncomingCall",
    "IncomingCallCanceled",
    "IncomingCallIgnored",
    "LogLine",
    "Login",
    "LoginFailed",
    "Logout",
    "MediaConnected",
    "MediaDisconnected",
    "MessageReceived",
    "MessagesWaiting",
    "Notified",
    "RemoteAudioStatus",
    "RemoteHold",
    "RemoteResumed",
    "RequestAnswered",
    "Said",
    "SubscriptionEnded",
    "TransferCompleted",
    "TransferFailed",
    "TransferProgress",
    "TransferRequested",
    "WebSocketConnected",
]


@dataclass(frozen=True, slots=True)
class Said:
    """What all events have but log lines.

    `identifier`: of the client that tells it (reference: setIdentifier), for whoever hears several; "" for a phone.
    """

    identifier: str = field(default="", kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class _OfAccount(Said):
    account: AccountId

    name: ClassVar[str] = ""

    def as_dict(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class _OfCall(_OfAccount):
    call_info: CallInfo

    @property
    def call(self) -> CallUuid:
        """The call this is about."""
        return self.call_info.call_uuid

    def as_dict(self) -> dict[str, Any]:
        return {"callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class Login(_OfAccount):
    """onLogin: the registrar has granted a binding. Once a login; a refresh is silent.

    `token_expires`: when the access token ends by the server's word, Unix time; None where there is none.
    """

    token_expires: int | None = None

    name = "onLogin"


@dataclass(frozen=True, slots=True)
class LoginFailed(_OfAccount):
    """onLoginFailed.

    Attributes:
        cause: the reference's words (`Authentication Error`, `Request Timeout`, `Connection Error`...).
        status: the SIP status behind it, 0 where none arrived.
        code: what the server says is wrong with an access token (`auth.TOKEN_ERRORS`), or 0.
        detail: why no server could be reached, in the system's words; empty where one answered, or nobody knows.
        retry_after: seconds after which a server that has refused wants to be asked again; None where it says nothing.
    """

    cause: str
    status: int = 0
    code: int = 0
    detail: str = ""
    retry_after: int | None = None

    name = "onLoginFailed"

    def as_dict(self) -> dict[str, Any]:
        return {"cause": self.cause}


@dataclass(frozen=True, slots=True)
class Logout(_OfAccount):
    """onLogout: the binding is gone, on our wish; else `reason` says why (`ACCESS_TOKEN_EXPIRED`...)."""

    reason: str = ""

    name = "onLogout"

    def as_dict(self) -> dict[str, Any]:
        return {"reason": self.reason} if self.reason else {}


@dataclass(frozen=True, slots=True)
class Calling(_OfCall):
    """onCalling: an outgoing call has been started; nothing has been sent yet."""

    name = "onCalling"


@dataclass(frozen=True, slots=True)
class CallRemoteRinging(_OfCall):
    """onCallRemoteRinging: the first provisional answer of the far end."""

    name = "onCallRemoteRinging"


@dataclass(frozen=True, slots=True)
class CallConnected(_OfCall):
    """onCallConnected: the telephone at the far end rings, by the word of the server (its INFO)."""

    name = "onCallConnected"


@dataclass(frozen=True, slots=True)
class RemoteAudioStatus(_OfCall):
    """remoteAudioStatus: whether audio of the far end arrives: by the word of the server (its INFO), and of a client
    when nothing has come for a whole interval of `QualityOptions`, or comes again."""

    status: bool

    name = "remoteAudioStatus"

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class CallAnswered(_OfCall):
    """onCallAnswered: the call is established."""

    name = "onCallAnswered"


@dataclass(frozen=True, slots=True)
class MediaConnected(_OfCall):
    """onMediaConnected: audio can flow. It may come before the answer (early media), and again after an ICE restart."""

    name = "onMediaConnected"


@dataclass(frozen=True, slots=True)
class MediaDisconnected(_OfCall):
    """Nothing arrives any more; the call is still up, and MediaConnected follows when audio is back."""

    reason: str

    name = "onMediaDisconnected"

    def as_dict(self) -> dict[str, Any]:
        return {"reason": self.reason, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class CallHeld(_OfCall):
    """The far end has agreed to be put on hold by us."""

    name = "onCallHeld"


@dataclass(frozen=True, slots=True)
class CallResumed(_OfCall):
    """The far end has agreed to be taken back from hold."""

    name = "onCallResumed"


@dataclass(frozen=True, slots=True)
class HoldFailed(_OfCall):
    """The far end has refused; the call goes on as it was. `wanted` is `hold` or `resume`."""

    wanted: str
    status: int
    cause: str

    name = "onHoldFailed"

    def as_dict(self) -> dict[str, Any]:
        return {"wanted": self.wanted, "cause": self.cause, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class RemoteHold(_OfCall):
    """The far end has put us on hold: it does not hear us."""

    name = "onRemoteHold"


@dataclass(frozen=True, slots=True)
class RemoteResumed(_OfCall):
    """The far end has taken us back from hold."""

    name = "onRemoteResumed"


@dataclass(frozen=True, slots=True)
class CallRedirected(_OfCall):
    """A call of ours goes on to somebody else, as the answer of the first one said and the account's policy allows."""

    target: str

    name = "onCallRedirected"

    def as_dict(self) -> dict[str, Any]:
        return {"target": self.target, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class CallReplaced(_OfCall):
    """Another far end takes the place of the one we talk to (attended transfer): this call was answered at once.

    `replaced` is the call that ends by it.
    """

    replaced: CallUuid

    name = "onCallReplaced"

    def as_dict(self) -> dict[str, Any]:
        return {"replaced": self.replaced, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class TransferRequested(_OfCall):
    """The far end of this call asks us to call `target` instead.

    `accept_transfer` or `reject_transfer` it; where the account's policy allows it, that is done: `new_call`.
    """

    target: str
    referred_by: str
    new_call: CallUuid | None

    name = "onTransferRequested"

    def as_dict(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "referredBy": self.referred_by,
            "newCall": self.new_call,
            "callInfo": self.call_info.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class TransferProgress(_OfCall):
    """How the call goes that the far end makes for a transfer of ours. `status`: SIP, 100 to 199."""

    status: int

    name = "onTransferProgress"

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class TransferCompleted(_OfCall):
    """A transfer of ours has succeeded; this call is being hung up, if it has not ended before."""

    name = "onTransferCompleted"


@dataclass(frozen=True, slots=True)
class TransferFailed(_OfCall):
    """A transfer of ours was refused, or its target did not answer; this call goes on, unless it has ended.

    `status` is 408 where the far end has told nothing for three minutes.
    """

    status: int
    cause: str

    name = "onTransferFailed"

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "cause": self.cause, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class MessageReceived(_OfAccount):
    """Somebody has sent a text (RFC 3428). `call` is the call in which it came, None outside of calls."""

    call: CallUuid | None
    sender: str
    content_type: str
    body: bytes

    name = "onMessageReceived"

    def as_dict(self) -> dict[str, Any]:
        text = self.body.decode("utf-8", "replace")
        return {"callUUID": self.call, "sender": self.sender, "contentType": self.content_type, "body": text}


@dataclass(frozen=True, slots=True)
class RequestAnswered(_OfAccount):
    """What has become of a MESSAGE of ours outside of calls, by the number that sending it gave."""

    request: int
    status: int
    cause: str

    name = "onRequestAnswered"

    def as_dict(self) -> dict[str, Any]:
        return {"request": self.request, "status": self.status, "cause": self.cause}


@dataclass(frozen=True, slots=True)
class Notified(_OfAccount):
    """News of something that we have subscribed to (RFC 6665). `state`: `active`, `pending`, `terminated`."""

    subscription: str
    event: str
    state: str
    content_type: str
    body: bytes

    name = "onNotified"

    def as_dict(self) -> dict[str, Any]:
        text = self.body.decode("utf-8", "replace")
        return {
            "subscription": self.subscription,
            "event": self.event,
            "state": self.state,
            "contentType": self.content_type,
            "body": text,
        }


@dataclass(frozen=True, slots=True)
class MessagesWaiting(_OfAccount):
    """What is in a mailbox that we have subscribed to (RFC 3842). Comes besides Notified."""

    subscription: str
    summary: MessageSummary

    name = "onMessagesWaiting"

    def as_dict(self) -> dict[str, Any]:
        kinds = {row.kind: [row.new, row.old] for row in self.summary.messages}
        return {"subscription": self.subscription, "waiting": self.summary.waiting, "messages": kinds}


@dataclass(frozen=True, slots=True)
class SubscriptionEnded(_OfAccount):
    """The last that is said of a subscription. `status`: of a refusal, 408 where nobody answers, 200 else."""

    subscription: str
    status: int
    reason: str

    name = "onSubscriptionEnded"

    def as_dict(self) -> dict[str, Any]:
        return {"subscription": self.subscription, "status": self.status, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class CallTerminated(_OfCall):
    """onCallTerminated: an answered call has ended. `statistics`: the last snapshot of its media."""

    hangup_info: HangupInfo
    statistics: MediaStatistics | None = None

    name = "onCallTerminated"

    def as_dict(self) -> dict[str, Any]:
        return {"hangupInfo": self.hangup_info.as_dict(), "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class CallFailed(_OfCall):
    """onCallFailed: a call has ended before it was answered."""

    cause: str

    name = "onCallFailed"

    def as_dict(self) -> dict[str, Any]:
        return {"cause": self.cause, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class IncomingCall(_OfCall):
    """onIncomingCall: a call rings here.

    Attributes:
        caller_id: `user@host` of the caller, as the caller says.
        caller_name: the caller's display name, or "".
        replaces: a call of ours that ends when this one is answered (attended transfer).
    """

    caller_id: str
    caller_name: str
    replaces: CallUuid | None = None

    name = "onIncomingCall"

    @property
    def extra_headers(self) -> Mapping[str, str]:
        return self.call_info.extra_headers

    def as_dict(self) -> dict[str, Any]:
        return {
            "callerID": self.caller_id,
            "extraHeaders": dict(self.extra_headers),
            "callInfo": self.call_info.as_dict(),
            "callerName": self.caller_name,
        }


@dataclass(frozen=True, slots=True)
class IncomingCallCanceled(_OfCall):
    """onIncomingCallCanceled: the caller gave up before we answered."""

    name = "onIncomingCallCanceled"


@dataclass(frozen=True, slots=True)
class IncomingCallIgnored(_OfCall):
    """onIncomingCallIgnored: it rings on for the caller, silently here."""

    name = "onIncomingCallIgnored"


@dataclass(frozen=True, slots=True)
class DtmfReceived(_OfCall):
    """onDtmfReceived: a key was pressed at the far end. `duration` in ms."""

    tone: str
    duration: int

    name = "onDtmfReceived"

    def as_dict(self) -> dict[str, Any]:
        return {"tone": self.tone, "duration": self.duration, "callInfo": self.call_info.as_dict()}


@dataclass(frozen=True, slots=True)
class DtmfSent(_OfCall):
    """All digits asked for have left."""

    name = "onDtmfSent"


@dataclass(frozen=True, slots=True)
class ConnectionChange(_OfAccount):
    """onConnectionChange: the signalling flow of an account has come or gone.

    Attributes:
        state: `connected` or `disconnected`.
        event_code: for `disconnected`, a WebSocket close code (RFC 6455 section 7.4.1): 1006 where none was given.
        event_reason: for people. reason: the reference's newer key for the same.
    """

    state: str
    event_code: int | None = None
    event_reason: str | None = None

    name = "onConnectionChange"

    def as_dict(self) -> dict[str, Any]:
        if self.event_code is None:
            return {"state": self.state}
        return {
            "state": self.state,
            "eventCode": self.event_code,
            "eventReason": self.event_reason,
            "reason": self.event_reason,
        }


@dataclass(frozen=True, slots=True)
class WebSocketConnected(_OfAccount):
    """onWebSocketConnected: the WebSocket is open; comes on each open."""

    name = "onWebSocketConnected"


@dataclass(frozen=True, slots=True)
class AudioReady(Said):
    """Decoded audio waits to be read from these calls. At most one a tick."""

    calls: tuple[CallUuid, ...]

    name: ClassVar[str] = "onAudioReady"

    def as_dict(self) -> dict[str, Any]:
        return {"calls": list(self.calls)}


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something worth a line in the log; a driver hands it to the logger `sansio_sip`.

    Attributes:
        level: as in `logging`; 5 for the messages of SIP themselves.
        identifier: of the client, where it is one's; the logger is its child of that name.
        call: the UUID of the call that it is about, or else of the active one, or "".
    """

    level: int
    text: str
    identifier: str = ""
    call: str = ""

    name: ClassVar[str] = "log"

    def as_dict(self) -> dict[str, Any]:
        return {"level": self.level, "text": self.text}


@dataclass(frozen=True, slots=True)
class Closed(Said):
    """The phone has hung up, un-registered and closed its flows, or its deadline for that has passed."""

    name: ClassVar[str] = "closed"

    def as_dict(self) -> dict[str, Any]:
        return {}


Event: TypeAlias = (
    Login
    | LoginFailed
    | Logout
    | Calling
    | CallRemoteRinging
    | CallAnswered
    | CallConnected
    | RemoteAudioStatus
    | MediaConnected
    | MediaDisconnected
    | CallHeld
    | CallResumed
    | HoldFailed
    | RemoteHold
    | RemoteResumed
    | CallRedirected
    | CallReplaced
    | TransferRequested
    | TransferProgress
    | TransferCompleted
    | TransferFailed
    | MessageReceived
    | RequestAnswered
    | Notified
    | MessagesWaiting
    | SubscriptionEnded
    | CallTerminated
    | CallFailed
    | IncomingCall
    | IncomingCallCanceled
    | IncomingCallIgnored
    | DtmfReceived
    | DtmfSent
    | ConnectionChange
    | WebSocketConnected
    | AudioReady
    | LogLine
    | Closed
)
