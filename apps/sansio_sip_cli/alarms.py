"""Deadlines of a plan, each with a name and, where it is about one, a call."""

from sansio_sip.softphone.call_info import CallUuid

__all__ = ["Alarms"]

Alarm = tuple[str, CallUuid | None]


class Alarms:
    """A small table of what is due when."""

    def __init__(self) -> None:
        self._set: dict[Alarm, float] = {}

    def set(self, name: str, deadline: float, call: CallUuid | None = None) -> None:
        self._set[name, call] = deadline

    def drop(self, name: str) -> None:
        """Forgets the alarm of this name that is about no call."""
        self._set.pop((name, None), None)

    def drop_call(self, call: CallUuid) -> None:
        """Forgets every alarm about a call."""
        for alarm in [alarm for alarm in self._set if alarm[1] == call]:
            del self._set[alarm]

    def due(self, now: float) -> list[Alarm]:
        """Takes those whose time has come."""
        alarms = [alarm for alarm, deadline in self._set.items() if deadline <= now]
        for alarm in alarms:
            del self._set[alarm]
        return alarms

    def next(self) -> float | None:
        return min(self._set.values(), default=None)
