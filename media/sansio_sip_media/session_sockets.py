"""The sockets of one media session: those of its media, those from before a rebind, and one for RTCP alone.

What opens or closes a socket is given back as an effect; whoever asked passes it on.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sansio_sip.effects import Address, CloseFlow, FlowId, OpenDatagram
from sansio_sip.softphone.media_plane import SessionId

__all__ = ["SessionSockets"]


class SessionSockets:
    """Which sockets there are, and what each is for.

    Args:
        dscp: of what is sent, as in `OpenDatagram`.

    Attributes:
        rtcp: our address for RTCP alone, once its socket is open.
    """

    def __init__(self, session: SessionId, dscp: int) -> None:
        self.rtcp: Address | None = None
        self._session = session
        self._dscp = dscp
        self._serial = 0
        self._pending: set[FlowId] = set()
        self._open: dict[FlowId, Address] = {}
        self._retired: set[FlowId] = set()
        self._rtcp_flow: FlowId | None = None
        self._rtcp_failed = False
        self._borrowed: set[FlowId] = set()  # sockets of the session that this one was forked from

    # Facts

    @property
    def open(self) -> Mapping[FlowId, Address]:
        """Our addresses for media, those that are being given up among them."""
        return MappingProxyType(self._open)

    @property
    def are_pending(self) -> bool:
        """Whether one that was asked for has neither opened nor failed."""
        return bool(self._pending)

    @property
    def current(self) -> tuple[Address, ...]:
        """Our addresses for media, without those that are being given up."""
        return tuple(local for flow, local in self._open.items() if flow not in self._retired)

    # Commands

    def bind(self, hosts: tuple[str, ...]) -> tuple[OpenDatagram, ...]:
        """Opens a socket for media at each of our hosts. Those from before are kept until `retire`."""
        self._retired.update(self._open)
        return tuple(self._ask_for(host) for host in hosts)

    def lend(self, session: SessionId) -> "SessionSockets":
        """Those of a fork, `session`: the same ones, which are not its own to close."""
        other = SessionSockets(session, self._dscp)
        other._open = {flow: local for flow, local in self._open.items() if flow not in self._retired}
        other.rtcp, other._rtcp_flow, other._rtcp_failed = self.rtcp, self._rtcp_flow, True
        other._borrowed = {*other._open, *((self._rtcp_flow,) if self._rtcp_flow is not None else ())}
        return other

    def abandon(self) -> tuple[CloseFlow, ...]:
        """Before one more `bind`: closes the sockets of the last one, if none of them came into use."""
        unused = [flow for flow in self._open if flow not in self._retired] if self._retired else []
        for flow in unused:
            del self._open[flow]
        return self._closing(*unused)

    def open_rtcp(self) -> tuple[OpenDatagram, ...]:
        """Opens a socket for RTCP alone; nothing where it is there, or could not be had."""
        if self._rtcp_flow is not None or self._rtcp_failed:
            return ()
        effect = self._ask_for(self.current[0].host)
        self._rtcp_flow = effect.flow
        return (effect,)

    def close_rtcp(self) -> tuple[CloseFlow, ...]:
        if self._rtcp_flow is None:
            return ()
        flow, self._rtcp_flow, self.rtcp = self._rtcp_flow, None, None
        self._pending.discard(flow)
        return self._closing(flow)

    def retire(self, in_use: FlowId) -> tuple[CloseFlow, ...]:
        """Closes the sockets from before the last `bind`, now that another one is in use."""
        if in_use in self._retired:
            return ()
        retired, self._retired = sorted(self._retired), set()
        return self._closing(*(flow for flow in retired if self._open.pop(flow, None) is not None))

    def close(self) -> tuple[CloseFlow, ...]:
        """Closes them all."""
        rtcp = self._rtcp_flow
        media = [flow for flow in (*self._open, *sorted(self._pending)) if flow != rtcp]
        self._open.clear()
        self._pending.clear()
        return (*self._closing(*media), *self.close_rtcp())

    def _closing(self, *flows: FlowId) -> tuple[CloseFlow, ...]:
        return tuple(CloseFlow(flow) for flow in flows if flow not in self._borrowed)

    def _ask_for(self, host: str) -> OpenDatagram:
        self._serial += 1
        flow = FlowId(f"{self._session}/{self._serial}")
        self._pending.add(flow)
        return OpenDatagram(flow, Address(host, 0), dscp=self._dscp)

    # Inputs

    def opened(self, flow: FlowId, local: Address) -> bool:
        """False: this one was not asked for."""
        if flow not in self._pending:
            return False
        self._pending.discard(flow)
        if flow == self._rtcp_flow:
            self.rtcp = local
        else:
            self._open[flow] = local
        return True

    def is_for_rtcp(self, flow: FlowId) -> bool:
        return flow == self._rtcp_flow

    def lost(self, flow: FlowId) -> bool:
        """It was closed by others, or could not be opened. True: it was in use."""
        self._pending.discard(flow)
        self._retired.discard(flow)
        if flow != self._rtcp_flow:
            return self._open.pop(flow, None) is not None
        self._rtcp_flow = self.rtcp = None
        self._rtcp_failed = True
        return True
