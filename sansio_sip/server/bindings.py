"""Where users can be reached: the location service of RFC 3261 section 10."""

from collections.abc import Iterator
from dataclasses import dataclass

from sansio_sip.effects import FlowId
from sansio_sip.sip.headers import NameAddress
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri
from sansio_sip.timers import Deadlines

__all__ = ["Binding", "BindingTable"]

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Binding:
    """One device of a user, or one of its flows.

    Attributes:
        contact: as the device wrote it, but for `expires`.
        uri: of the contact: the Request-URI of what is sent to the device.
        hop: the way to the device; without a flow where it listens at a TCP port of its own.
        call_id, number: of the REGISTER that made or refreshed it; later ones of the same Call-ID count up.
        expires_at: seconds, monotonic.
        device: instance and reg-id (RFC 5626): a new contact of the same two replaces the old one, and no other flow of
            that instance.
        path: proxies between us and the device, nearest to us first (RFC 3327); they become its Route.
        takes_calls: whether INVITEs may lead to it; the access token of its user may say no.
    """

    user: str
    contact: NameAddress
    uri: SipUri
    hop: Hop
    call_id: str
    number: int
    expires_at: float
    device: tuple[str, str] | None = None
    path: tuple[NameAddress, ...] = ()
    takes_calls: bool = True

    @property
    def instance(self) -> str:
        """The device itself, in lower case and without angle brackets; empty where it has not said."""
        return (self.contact.parameter("+sip.instance") or "").strip("<>").lower()

    def remaining(self, now: float) -> int:
        """Whole seconds that are left, rounded up."""
        return max(0, int(-(-(self.expires_at - now) // 1)))


class BindingTable:
    """All bindings, by user, contact and flow."""

    def __init__(self) -> None:
        self._by_user: dict[str, dict[int, Binding]] = {}
        self._by_uri: dict[str, _Key] = {}
        self._by_flow: dict[FlowId, dict[_Key, None]] = {}
        self._deadlines: Deadlines[_Key] = Deadlines()
        self._serial = 0

    def of(self, user: str) -> tuple[Binding, ...]:
        """The bindings of a user, oldest first."""
        return tuple(self._by_user.get(user, {}).values())

    def find(self, user: str, uri: SipUri, device: tuple[str, str] | None = None) -> Binding | None:
        """The user's binding of the same device, or else of an equivalent URI (section 19.1.4)."""
        key = self._find(user, uri, device)
        return self._by_user[user][key] if key is not None else None

    def of_instance(self, user: str, instance: str) -> tuple[Binding, ...]:
        """The flows of one device of a user, the one heard of last first (RFC 5627 section 5.1: one request to one)."""
        found = [each for each in self.of(user) if instance and each.instance == instance]
        return tuple(sorted(found, key=lambda each: -each.expires_at))

    def is_from(self, user: str, hop: Hop) -> bool:
        """Whether the hop that something came by is that of a binding of the user."""
        return any((each.hop.flow, each.hop.address) == (hop.flow, hop.address) for each in self.of(user))

    def by_uri(self, uri: SipUri) -> Binding | None:
        """The binding whose contact is just that URI, letter for letter."""
        key = self._by_uri.get(str(uri))
        return self._by_user[key[0]][key[1]] if key is not None else None

    def put(self, binding: Binding) -> None:
        """Adds a binding, or replaces that of the same device or of an equivalent URI, in its place."""
        number = self._find(binding.user, binding.uri, binding.device)
        if number is None:
            self._serial += 1
            number = self._serial
        else:
            self._unlink((binding.user, number))
        key = (binding.user, number)
        self._by_user.setdefault(binding.user, {})[number] = binding
        # Where two users claim one contact, the first keeps the name: nobody draws another's calls to himself.
        self._by_uri.setdefault(str(binding.uri), key)
        if binding.hop.reliable and binding.hop.flow is not None:
            self._by_flow.setdefault(binding.hop.flow, {})[key] = None
        self._deadlines.update(key, binding.expires_at)

    def remove(self, binding: Binding) -> None:
        number = self._find(binding.user, binding.uri, binding.device)
        if number is not None:
            self._remove((binding.user, number))

    def flow_lost(self, flow: FlowId) -> Iterator[Binding]:
        """Takes away, and yields, the bindings of a stream that is gone."""
        for key in list(self._by_flow.get(flow, ())):
            yield self._remove(key)

    def expire(self, now: float) -> Iterator[Binding]:
        """Takes away, and yields, the bindings whose time is up."""
        for key in self._deadlines.due(now):
            yield self._remove(key)

    def next_timeout(self) -> float | None:
        return self._deadlines.next()

    def __len__(self) -> int:
        return sum(len(bindings) for bindings in self._by_user.values())

    def _find(self, user: str, uri: SipUri, device: tuple[str, str] | None) -> int | None:
        rows = self._by_user.get(user, {})
        if device is not None:
            # RFC 5626 section 6: the key of such a binding is the address of record, the instance and the reg-id.
            for number, binding in rows.items():
                if binding.device == device:
                    return number
        for number, binding in rows.items():
            known = binding.device
            another_flow = device is not None and known is not None and known[0] == device[0]
            if binding.uri.equivalent(uri) and not another_flow:
                return number
        return None

    def _unlink(self, key: _Key) -> None:
        binding = self._by_user[key[0]][key[1]]
        uri = str(binding.uri)
        if self._by_uri.get(uri) == key:
            del self._by_uri[uri]
            for number, other in self._by_user[key[0]].items():  # another flow may go by the same name
                if number != key[1] and other.uri == binding.uri:
                    self._by_uri[uri] = (key[0], number)
        flow = binding.hop.flow
        if flow is not None and key in self._by_flow.get(flow, {}):
            del self._by_flow[flow][key]
            if not self._by_flow[flow]:
                del self._by_flow[flow]

    def _remove(self, key: _Key) -> Binding:
        self._unlink(key)
        bindings = self._by_user[key[0]]
        binding = bindings.pop(key[1])
        if not bindings:
            del self._by_user[key[0]]
        self._deadlines.remove(key)
        return binding
