"""What `call` does in the middle of a call: hold it, take it back, have the far end call somebody else."""

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import CallUuid
from sansio_sip.softphone.softphone import Softphone

from .alarms import Alarms

__all__ = ["LaterSteps"]


class LaterSteps:
    """Steps of one call, each so many seconds after the answer; those that are under way keep the call up.

    Args:
        hold_after: puts the call on hold. hold_for: takes it back so long after that; None: never.
        transfer_to: whom the far end is to call instead of us, so long after the answer as `transfer_after` says.
    """

    def __init__(
        self,
        *,
        hold_after: float | None = None,
        hold_for: float | None = None,
        transfer_to: str | None = None,
        transfer_after: float = 0.0,
    ) -> None:
        self._hold_after = hold_after
        self._hold_for = hold_for
        self._transfer_to = transfer_to
        self._transfer_after = transfer_after
        self._waiting: set[str] = set()

    @property
    def are_under_way(self) -> bool:
        return bool(self._waiting)

    def answered(self, alarms: Alarms, *, now: float) -> None:
        """The call is up from now on."""
        if self._hold_after is not None:
            self._set(alarms, "hold", now + self._hold_after)
        if self._transfer_to is not None:
            self._set(alarms, "transfer", now + self._transfer_after)

    def due(self, name: str, phone: Softphone, call: CallUuid, *, now: float) -> str:
        """An alarm of ours. Returns why the step cannot be done, empty where it can."""
        try:
            match name:
                case "hold":
                    phone.hold(call, now=now)
                case "resume":
                    phone.resume(call, now=now)
                case "transfer":
                    assert self._transfer_to is not None
                    phone.transfer(call, self._transfer_to, now=now)
                case _:
                    raise AssertionError(name)
        except LocalProtocolError as error:
            return str(error)
        return ""

    def heard(self, event: object, alarms: Alarms, *, now: float) -> str:
        """An event of the phone. Returns why a step has failed."""
        match event:
            case events.CallHeld():
                self._waiting.discard("hold")
                if self._hold_for is not None:
                    self._set(alarms, "resume", now + self._hold_for)
            case events.CallResumed():
                self._waiting.discard("resume")
            case events.HoldFailed():
                return f"{event.wanted} was refused: {event.cause} ({event.status})"
            case events.TransferCompleted():
                self._waiting.discard("transfer")
            case events.TransferFailed():
                return f"transfer to {self._transfer_to} failed: {event.cause} ({event.status})"
            case _:
                pass
        return ""

    def _set(self, alarms: Alarms, name: str, deadline: float) -> None:
        self._waiting.add(name)
        alarms.set(name, deadline)
