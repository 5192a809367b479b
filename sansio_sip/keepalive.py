"""How often a flow is pinged (RFC 5626 section 4.4)."""

from sansio_sip.context import Context

__all__ = ["KeepaliveInterval"]

EARLIEST, LATEST = 24.0, 29.0
"""Seconds (section 4.4.2): for UDP what the RFC says; for streams less than it allows, so that a call learns sooner of
a server that is gone."""

SHORTEST = 5.0
"""Seconds. A server that wants to hear of us more often than that has us do its work."""


class KeepaliveInterval:
    """Seconds to the next ping, drawn anew each time.

    Attributes:
        flow_timer: seconds of silence after which the server gives the flow up, where it has said so; None: unknown.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.flow_timer: float | None = None

    def draw(self) -> float:
        earliest, latest = EARLIEST, LATEST
        if self.flow_timer is not None and self.flow_timer < latest:
            # "the interval between each keep-alive is randomly distributed between 80% and 100% of the server-provided
            # time".
            latest = max(self.flow_timer, SHORTEST)
            earliest = 0.8 * latest
        return earliest + (latest - earliest) * self._context.entropy.fraction("keepalive")
