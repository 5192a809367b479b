"""The flows of one account as they show on the wire: where each is, and which one is spoken on (RFC 5626).

Theory of operation
-------------------
A `Line` is what an account has under one reg-id: at most one flow at a time, and what the registrar has given for it.
A flow that breaks leaves its line empty, and another takes its place there; the number stays, so that the registrar
knows which binding to replace. `Lines.in_use` is the line by which requests of ours leave. It stays the same for as
long as it works: who comes back does not draw the calls of others to itself.
"""

from collections.abc import Iterator
from itertools import chain

from sansio_sip.context import Context
from sansio_sip.effects import Address

from .headers import NameAddress, Via
from .transport import Hop
from .uri import SipUri, Uri

__all__ = ["Line", "Lines"]


class Line:
    """What the account has under one reg-id. Changed by the user agent and by its registration alone.

    Attributes:
        number: the reg-id, from 1.
        hop: the present flow; None while there is none.
        registered: whether the registrar has granted a binding on that flow.
        gruu: a globally routable URI that the registrar has given us (RFC 5627), of the kind asked for.
        service_route: proxies that the registrar wants before each new request (RFC 3608).
    """

    def __init__(self, context: Context, number: int) -> None:
        self.number = number
        self.hop: Hop | None = None
        self.registered = False
        self.gruu: Uri | None = None
        self.service_route: tuple[NameAddress, ...] = ()
        self._learned: Address | None = None
        # RFC 7118 section 5.1 and appendix: a browser-like client has no name that others could look up.
        self.invalid_host = context.entropy.via_host()

    def flow_ready(self, hop: Hop) -> None:
        self.hop = hop
        self.registered = False
        self._learned = None

    def flow_lost(self) -> None:
        self.hop = None
        self.registered = False
        self._learned = None

    def learn(self, via: Via) -> bool:
        """Takes the address that the server saw a request come from (RFC 3581). True where it was news to us."""
        hop = self.hop
        if hop is None or hop.transport in ("WS", "WSS") or hop.address is None or not via.received:
            return False
        port = via.rport or via.port or 5060
        seen = Address(via.received, port)
        if seen == (self._learned or hop.local):
            return False
        self._learned = seen
        return True

    @property
    def has_server(self) -> bool:
        """Whether all goes to one server. Without one, each request goes to where its target says."""
        return self.hop is not None and (self.hop.reliable or self.hop.address is not None)

    def binding(self, address: SipUri) -> SipUri:
        """Where the user of that address is to be reached on this line: the Contact of REGISTER."""
        # RFC 3261 section 8.1.1.8: "If the Request-URI or top Route header field value contains a SIPS URI, the Contact
        # header field MUST contain a SIPS URI as well."
        scheme, user = address.scheme, address.user
        hop = self.hop
        if hop is None or hop.local is None or hop.transport in ("WS", "WSS"):
            # RFC 7118 section 5.2.2: `transport=ws` stands for WS and WSS alike; the scheme would tell them apart.
            return SipUri(self.invalid_host, user, parameters=(("transport", "ws"),), scheme=scheme)
        host, port = self._learned or hop.local
        parameters = () if hop.transport == "UDP" else (("transport", hop.transport.lower()),)
        return SipUri(host, user, port=port, parameters=parameters, scheme=scheme)

    @property
    def route(self) -> tuple[NameAddress, ...]:
        """Through which proxies a request goes that is to leave by this line and by no other way."""
        if self.service_route or self.hop is None or self.hop.address is None:
            return self.service_route
        host, port = self.hop.address
        # RFC 7118 section 5.2.4: `ws` stands for both kinds of WebSocket.
        name = "ws" if self.hop.transport == "WSS" else self.hop.transport.lower()
        transport = () if name == "udp" else (("transport", name),)
        return (NameAddress(SipUri(host, port=port, parameters=(*transport, ("lr", None)))),)


class Lines:
    """The lines of one account, one for each reg-id."""

    def __init__(self, context: Context, count: int) -> None:
        self._rows = tuple(Line(context, number) for number in range(1, count + 1))
        self._in_use = self._rows[0]

    def __iter__(self) -> Iterator[Line]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Line:
        """The line of a reg-id."""
        return self._rows[number - 1]

    @property
    def in_use(self) -> Line:
        """The line by which requests leave: the last one as long as it is as good as any other."""
        best = self._rank(self._in_use)
        for line in self._rows:
            if self._rank(line) > best:
                self._in_use, best = line, self._rank(line)
        return self._in_use

    @property
    def hop(self) -> Hop | None:
        """The flow by which requests leave; None while there is none at all."""
        return self.in_use.hop

    @property
    def registered(self) -> bool:
        """Whether the registrar has granted a binding on any of the flows."""
        return any(line.registered for line in self._rows)

    def of_hop(self, hop: Hop) -> Line | None:
        """The line that a hop is on, or one to the same server: a stream beside a UDP flow has no line of its own."""
        alive = [line for line in self._rows if line.hop is not None]
        on_it = (line for line in alive if line.hop is not None and line.hop.flow == hop.flow)
        beside = (line for line in alive if line.hop is not None and line.hop.address == hop.address)
        return next(chain(on_it, beside), None)

    def another(self, tried: frozenset[int]) -> Line | None:
        """A line that works and whose number is none of those."""
        left = [line for line in self._rows if line.number not in tried and line.hop is not None]
        return max(left, key=self._rank, default=None)

    @staticmethod
    def _rank(line: Line) -> int:
        return 0 if line.hop is None else 1 + line.registered
