"""What `register` has a phone do."""

from typing import Any

from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone

from .account_plan import AccountPlan
from .exit_status import DONE

__all__ = ["RegisterPlan"]


class RegisterPlan(AccountPlan):
    """Logs in, stays for a while, logs out."""

    def __init__(self, options: AccountOptions, *, stay: float) -> None:
        super().__init__(options, register=True)
        self._stay = stay

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None:
        if self.became_ready(phone, event, now=now):
            self._alarms.set("leave", now + self._stay)

    def on_alarm(self, phone: Softphone, *, now: float) -> None:
        for name, _ in self._alarms.due(now):
            if name == "leave":
                self.finish(phone, DONE, "", now)
            else:
                self.account_alarm(phone, name, now=now)
