"""The registrar (RFC 3261 section 10.3, with instance and reg-id of RFC 5626)."""

from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.effects import FlowId
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.sip.headers import STAR, NameAddress, Quoted, parse_list, parse_number
from sansio_sip.sip.message import Request
from sansio_sip.sip.parameters import without_parameter
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri

from .bindings import Binding, BindingTable
from .events import BindingAdded, BindingRemoved
from .gruu import GruuTable
from .options import ServerOptions
from .router import Refusal, device_hop

__all__ = ["TOO_MANY_BINDINGS", "Granted", "Registrar", "RegistrarOutput"]

RegistrarOutput: TypeAlias = BindingAdded | BindingRemoved

MAX_PATH = 8  # proxies on the way to one device; each request to it carries them all

TOO_MANY_BINDINGS = "Too Many Bindings"

MAX_SECONDS = 2**32 - 1  # RFC 3261 section 20.19


@dataclass(frozen=True, slots=True)
class Granted:
    """A 200 with these headers: all bindings of the user, with what is left of each."""

    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a REGISTER wants done about one contact; `expires` 0 removes it."""

    contact: NameAddress
    uri: SipUri
    expires: int
    device: tuple[str, str] | None
    path: tuple[NameAddress, ...] = ()


class Registrar:
    """Keeps the bindings of users that have shown who they are."""

    def __init__(self, options: ServerOptions, bindings: BindingTable, gruus: GruuTable) -> None:
        self._options = options
        self._gruus = gruus
        self._bindings = bindings
        self._outbox: Outbox[RegistrarOutput] = Outbox()

    def register(
        self, request: Request, user: str, hop: Hop, *, now: float, limit: int | None = None, takes_calls: bool = True
    ) -> Granted | Refusal:
        """Carries a REGISTER of `user` out, whole or not at all. Gives BindingAdded and BindingRemoved.

        Args:
            limit: devices that he may have, where it is not `ServerOptions.max_bindings_per_user`.
            takes_calls: as in `Binding`.
        """
        number = request.cseq.number
        try:
            path = _path(request)
            wishes = self._wishes(request, user, path if isinstance(path, tuple) else ())
        except ParseError:
            return Refusal(400, "Bad Contact")
        if isinstance(path, Refusal):
            return path
        if isinstance(wishes, Refusal):
            return wishes
        if path and not _has_ob(path[-1]) and _supports(request, "outbound") and any(wish.device for wish in wishes):
            # RFC 5626 section 6: the flow ends at the device's first hop, which does not know that it is one.
            return Refusal(439, "First Hop Lacks Outbound Support")
        found = [self._bindings.find(user, wish.uri, wish.device) for wish in wishes]
        # RFC 3261 section 10.3 step 7: "If the Call-ID value [...] agrees, [...] the registrar compares the CSeq
        # value. If the value is higher than that of the existing binding, it MUST update or remove the binding [...].
        # If not, the update MUST be aborted and the request fails."
        if any(old and old.call_id == request.call_id and old.number >= number for old in found):
            return Refusal(500, "CSeq Out Of Order")
        new = sum(1 for old, wish in zip(found, wishes, strict=True) if old is None and wish.expires)
        gone = sum(1 for old, wish in zip(found, wishes, strict=True) if old is not None and not wish.expires)
        if len(self._bindings.of(user)) + new - gone > (limit or self._options.max_bindings_per_user):
            return Refusal(503, TOO_MANY_BINDINGS)
        for old, wish in zip(found, wishes, strict=True):
            self._fulfil(wish, old, user, request, hop, takes_calls, now)
        with_gruu = _supports(request, "gruu")
        touched = [wish.uri for wish in wishes]
        rows = [
            ("Contact", self._shown(binding, with_gruu, binding.uri in touched, now))
            for binding in self._bindings.of(user)
        ]
        # RFC 3327 section 5.3: "The registrar [...] MUST copy the Path header field values into a Path header field in
        # the successful (200 OK) REGISTER response."
        rows += [("Path", str(each)) for each in path]
        if _supports(request, "outbound") and any(wish.device is not None and wish.expires for wish in wishes):
            # RFC 5626 section 6: "the registrar MUST include the 'outbound' option-tag in a Require header field value
            # in its response to the REGISTER request".
            rows.append(("Require", "outbound"))
        return Granted(tuple(rows))

    def flow_lost(self, flow: FlowId) -> None:
        """A device that was reached by this stream is out of reach (RFC 5626 section 5.3)."""
        for binding in self._bindings.flow_lost(flow):
            self._removed(binding, "flow lost")

    def handle_timeout(self, *, now: float) -> None:
        for binding in self._bindings.expire(now):
            self._removed(binding, "expired")

    def next_timeout(self) -> float | None:
        return self._bindings.next_timeout()

    def poll_output(self) -> RegistrarOutput | None:
        return self._outbox.poll()

    def _wishes(self, request: Request, user: str, path: tuple[NameAddress, ...]) -> list[_Wish] | Refusal:
        contacts = request.contacts
        if contacts == (STAR,):
            # RFC 3261 section 10.2.2: "The REGISTER-specific Contact header field value of "*" applies to all
            # registrations, but it MUST NOT be used unless the Expires header field is present with a value of "0"."
            if request.expires != 0:
                return Refusal(400, "Contact * Without Expires 0")
            return [_Wish(each.contact, each.uri, 0, each.device) for each in self._bindings.of(user)]
        if STAR in contacts:
            return Refusal(400, "Contact * Among Others")
        wishes = []
        for contact in contacts:
            if not isinstance(contact.uri, SipUri):
                return Refusal(400, "Contact Is No SIP URI")
            stated = contact.parameter("expires")
            asked = self._seconds(stated) if stated is not None else request.expires
            expires = self._options.default_expires if asked is None else asked
            if 0 < expires < self._options.min_expires:
                # RFC 3261 section 10.3 step 7: "MUST include a Min-Expires header field that states the minimum
                # expiration interval the registrar is willing to honor".
                return Refusal(423, None, (("Min-Expires", str(self._options.min_expires)),))
            kept = NameAddress(contact.uri, contact.display_name, without_parameter(contact.parameters, "expires"))
            instance, reg_id = contact.parameter("+sip.instance"), contact.parameter("reg-id")
            device = (instance, reg_id) if instance and reg_id else None
            wishes.append(_Wish(kept, contact.uri, min(expires, self._options.max_expires), device, path))
        return wishes

    def _seconds(self, text: str) -> int | None:
        """RFC 3261 section 20.10: "Malformed values SHOULD be treated as equivalent to 3600" - to our default."""
        try:
            return parse_number(text, MAX_SECONDS + 1)
        except ParseError:
            return None

    def _fulfil(
        self, wish: _Wish, old: Binding | None, user: str, request: Request, hop: Hop, takes_calls: bool, now: float
    ) -> None:
        if not wish.expires:
            if old is not None:
                self._bindings.remove(old)
                self._removed(old, "removed")
            return
        self._bindings.put(
            Binding(
                user,
                wish.contact,
                wish.uri,
                # Behind a proxy the way is the one that the REGISTER came by: the device itself is out of our sight.
                hop if wish.path else device_hop(wish.uri, hop, request.top_via.host),
                request.call_id,
                request.cseq.number,
                now + wish.expires,
                wish.device,
                wish.path,
                takes_calls,
            )
        )
        if old is None or not old.uri.equivalent(wish.uri):
            if old is not None:
                self._removed(old, "removed")
            self._outbox.put(BindingAdded(self._address(user), str(wish.uri), hop.transport, wish.expires))

    def _removed(self, binding: Binding, why: str) -> None:
        if binding.instance and not self._bindings.of_instance(binding.user, binding.instance):
            self._gruus.forget(binding.user, binding.instance)
        self._outbox.put(BindingRemoved(self._address(binding.user), str(binding.uri), why))

    def _address(self, user: str) -> str:
        return str(SipUri(self._options.domain.strip("[]"), user))

    def _shown(self, binding: Binding, with_gruu: bool, touched: bool, now: float) -> str:
        contact = binding.contact.with_parameter("expires", str(binding.remaining(now)))
        if with_gruu and binding.instance:
            public = self._gruus.public(binding.user, binding.instance)
            contact = contact.with_parameter("pub-gruu", Quoted(str(public)))
            if touched:  # the others have theirs already, and would lose the oldest by it
                temporary = self._gruus.temporary(binding.user, binding.instance)
                contact = contact.with_parameter("temp-gruu", Quoted(str(temporary)))
        return str(contact)


def _has_ob(hop: NameAddress) -> bool:
    return isinstance(hop.uri, SipUri) and hop.uri.has_parameter("ob")


def _supports(request: Request, option: str) -> bool:
    return any(each.lower() == option for each in request.supported)


def _path(request: Request) -> tuple[NameAddress, ...] | Refusal:
    """The proxies that a REGISTER came through (RFC 3327)."""
    path = tuple([each for row in request.headers.get_all("Path") for each in parse_list(row, NameAddress)])
    if not path:
        return ()
    # Section 5.3: a device that knows nothing of Path could not be told why its calls go astray: "the registrar [...]
    # SHOULD reject [...] with a 421 (Extension Required)".
    if not _supports(request, "path"):
        return Refusal(421, None, (("Require", "path"),))
    return path if len(path) <= MAX_PATH else Refusal(400, "Path Too Long")
