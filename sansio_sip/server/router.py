"""Where a request goes: Route, then the location service (RFC 3261 sections 16.4 and 16.5), as a pure question."""

from dataclasses import dataclass, replace

from sansio_sip.effects import Address
from sansio_sip.sip.headers import NameAddress
from sansio_sip.sip.message import Request
from sansio_sip.sip.redirection import preference
from sansio_sip.sip.transport import Hop, default_port
from sansio_sip.sip.uri import SipUri, Uri

from .bindings import Binding, BindingTable
from .flow_token import FlowTokens
from .flows import FlowTable
from .gruu import GruuTable
from .options import ServerOptions
from .own_names import OwnNames

__all__ = ["Refusal", "Routed", "Router", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One place to send a request to.

    Attributes:
        uri: the new Request-URI.
        path: the Routes that lead there (RFC 3327).
        preference: `q` of the contact: those with a lower one are tried when all with a higher one have failed.
        others: the other flows of the same device, to be tried one after another when this one has failed (RFC 5626).
    """

    uri: Uri
    hop: Hop
    path: tuple[NameAddress, ...] = ()
    preference: float = 1.0
    others: "tuple[Target, ...]" = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request goes nowhere. `reason`: words of the status line; None for the usual ones."""

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Routed:
    """What a request has become by taking our own Routes from it.

    Attributes:
        hop: where our own Record-Route says that it goes on to; None where it had none that we have made. Who knows
            one was let into the dialog by us.
    """

    request: Request
    hop: Hop | None


class Router:
    """Finds the targets of requests."""

    def __init__(
        self,
        options: ServerOptions,
        names: OwnNames,
        tokens: FlowTokens,
        flows: FlowTable,
        bindings: BindingTable,
        gruus: GruuTable,
    ) -> None:
        self._options = options
        self._names = names
        self._tokens = tokens
        self._flows = flows
        self._bindings = bindings
        self._gruus = gruus

    def take_own_routes(self, request: Request) -> Routed:
        """Takes from a request the Routes that name us (RFC 3261 section 16.4).

        We record two, one towards each side. A request of the dialog brings both; the last of them names the side
        that it goes to.
        """
        routes = request.routes
        token: Hop | None = None
        uri = request.uri
        # "If the Request-URI of the request contains a value this proxy previously placed into a Record-Route header
        # field [...], the proxy MUST replace the Request-URI in the request with the last value from the Route header
        # field": a strict router has sent it.
        if isinstance(uri, SipUri) and routes and self._token_of(uri) is not None:
            token = self._token_of(uri)
            uri, routes = routes[-1].uri, routes[:-1]
        # "If the first value in the Route header field indicates this proxy, the proxy MUST remove that value from
        # the request."
        while routes and self._names.is_ours(routes[0].uri):
            token = self._token_of(routes[0].uri) or token
            routes = routes[1:]
        if len(routes) == len(request.routes) and uri == request.uri:
            return Routed(request, token)
        changed = request.copy()
        changed.uri = uri
        changed.headers.set("Route", *(str(route) for route in routes))
        return Routed(changed, token)

    def targets(self, routed: Routed, *, now: float) -> tuple[Target, ...] | Refusal:
        """Where to send a request that is not for the server itself."""
        uri = routed.request.uri
        if routed.hop is not None:
            return self._along_dialog(routed.hop, uri, now)
        is_call = routed.request.method == "INVITE"
        if not isinstance(uri, SipUri):
            return Refusal(416)
        if self._names.is_ours(uri):
            if uri.has_parameter("gr"):
                return self._of_gruu(uri, now, is_call=is_call)
            bindings = self._bindings.of(uri.user or "")
            # Whoever holds an access token is known as long as he is here.
            if uri.user not in self._options.users and not bindings:
                return Refusal(404)
            # RFC 3261 section 16.5: "If the target set remains empty [...], the proxy MUST return an error response,
            # which SHOULD be the 480 (Temporarily Unavailable) response."
            takers = [binding for binding in bindings if binding.takes_calls or not is_call]
            targets = [self._device(flows, now) for flows in _by_device(takers)]
            return tuple(sorted(targets, key=lambda target: -target.preference)) or Refusal(480)
        # A contact that a device has told a peer of, used without our Record-Route.
        binding = self._bindings.by_uri(uri)
        if binding is not None:
            return (self._target(binding, now),) if binding.takes_calls or not is_call else Refusal(480)
        return Refusal(403, "Relaying Forbidden")

    def redirected(self, uris: tuple[SipUri, ...], *, now: float) -> tuple[Target, ...]:
        """Where a 3xx of a user of ours points to, as far as we go there: to users and devices of this domain."""
        targets: list[Target] = []
        for uri in uris:
            # What is followed is what anybody might have called; never another domain on a callee's word.
            found = self.targets(Routed(Request("INVITE", uri), None), now=now) if uri.user is not None else ()
            if not isinstance(found, Refusal):
                targets += [each for each in found if each not in targets]
        return tuple(targets)

    def _of_gruu(self, uri: SipUri, now: float, *, is_call: bool = False) -> tuple[Target, ...] | Refusal:
        device = self._gruus.device(uri)
        # RFC 5627 section 5.4: "If the URI does not exist [...], a 404 (Not Found)"; "if [...] the instance [is] not
        # registered, [...] a 480 (Temporarily Unavailable)".
        if device is None:
            return Refusal(404)
        flows = [each for each in self._bindings.of_instance(*device) if each.takes_calls or not is_call]
        return (self._device(flows, now),) if flows else Refusal(480)

    def _along_dialog(self, hop: Hop, uri: Uri, now: float) -> tuple[Target, ...] | Refusal:
        if isinstance(uri, SipUri) and uri.has_parameter("gr") and self._names.is_ours(uri):
            # RFC 5627 section 5.4: a GRUU is translated wherever it stands, in a dialog as well.
            return self._of_gruu(uri, now)
        if self._flows.is_open(hop.flow):
            return (Target(uri, self._names.with_local(hop)),)
        # The device may have come back on another flow, and kept its contact.
        binding = self._bindings.by_uri(uri) if isinstance(uri, SipUri) else None
        if binding is not None:
            return (self._target(binding, now),)
        # RFC 5626 section 5.3.1: "If the flow no longer exists, the proxy SHOULD send a 430 (Flow Failed) response".
        return Refusal(430, "Flow Failed")

    def _device(self, flows: list[Binding], now: float) -> Target:
        """One target of all flows of a device."""
        first, *others = (self._target(each, now) for each in flows)
        return replace(first, others=tuple(others))

    def _target(self, binding: Binding, now: float) -> Target:
        hop = binding.hop
        if hop.flow is None and hop.address is not None:
            hop = self._flows.towards(hop.address, now=now)
        return Target(binding.uri, hop, binding.path, preference(binding.contact))

    def _token_of(self, uri: Uri) -> Hop | None:
        if not isinstance(uri, SipUri) or uri.user is None:
            return None
        return self._tokens.read(uri.user)


def _by_device(bindings: list[Binding]) -> list[list[Binding]]:
    """The flows of each device, the one heard of last first; devices in the order of their first flow.

    RFC 5626 section 7: "a proxy MUST NOT populate the target set with more than one contact with the same AOR and
    instance-id at a time".
    """
    rows: dict[str, list[Binding]] = {}
    for number, binding in enumerate(bindings):
        rows.setdefault(binding.instance or f" {number}", []).append(binding)
    return [sorted(flows, key=lambda each: -each.expires_at) for flows in rows.values()]


def device_hop(uri: SipUri, seen: Hop, sent_by: str) -> Hop:
    """The way to a device that has registered `uri`, from where its REGISTER was seen to come.

    By the flow of the REGISTER, which works through NATs and for devices without an address (RFC 5626). RFC 3261 would
    send to the contact itself; that is done for the port of a device that tells truly at which address it is, and
    never for another host, which may not have asked for it. Over TCP such a hop has no flow yet.
    """
    if seen.transport not in ("UDP", "TCP") or seen.address is None or sent_by != seen.address.host:
        return seen
    transport = (uri.parameter("transport") or "udp").upper()
    if transport != seen.transport or uri.host != seen.address.host:
        return seen
    contact = Address(uri.host, uri.port or default_port(transport))
    if contact == seen.address:
        return seen
    return replace(seen, address=contact) if transport == "UDP" else Hop(transport, contact)
