"""Network address translators, by how they map and filter (RFC 4787 sections 4 and 5, in the words of RFC 3489).

| kind            | mapping is kept for       | lets in                              |
|-----------------|---------------------------|--------------------------------------|
| full cone       | each socket               | everybody                            |
| restricted      | each socket               | hosts that were sent to              |
| port restricted | each socket               | addresses that were sent to          |
| symmetric       | each socket and far end   | the far end that it was made for     |

Mappings last until `forget`: what keeps them alive is tested elsewhere.
"""

from enum import Enum

from sansio_sip.effects import Address

__all__ = ["Nat", "NatKind"]

FIRST_PORT = 50_000


class NatKind(Enum):
    """See the table above."""

    FULL_CONE = "full cone"
    RESTRICTED = "restricted"
    PORT_RESTRICTED = "port restricted"
    SYMMETRIC = "symmetric"


class Nat:
    """One translator. `address`: its public one. `hairpin`: whether those inside reach each other by it."""

    def __init__(self, kind: NatKind, address: str, *, hairpin: bool = True) -> None:
        self.kind = kind
        self.address = address
        self.hairpin = hairpin
        self._ports = 0
        self._mapped: dict[tuple[Address, Address | None], Address] = {}
        self._inside: dict[Address, Address] = {}
        self._sent_to: dict[Address, set[Address]] = {}

    def forget(self) -> None:
        """Begins anew, as after a loss of power: what is inside gets other ports, and nobody is let in to the old."""
        self._mapped.clear()
        self._inside.clear()
        self._sent_to.clear()

    def outbound(self, inside: Address, destination: Address) -> Address:
        """The source that `destination` sees; opens the way back."""
        key = (inside, destination if self.kind is NatKind.SYMMETRIC else None)
        if key not in self._mapped:
            mapped = self._mapped[key] = Address(self.address, FIRST_PORT + self._ports)
            self._ports += 1
            self._inside[mapped] = inside
            self._sent_to[mapped] = set()
        mapped = self._mapped[key]
        self._sent_to[mapped].add(destination)
        return mapped

    def inbound(self, mapped: Address, source: Address) -> Address | None:
        """Where inside a datagram for `mapped` goes; None: it is dropped."""
        inside = self._inside.get(mapped)
        if inside is None:
            return None
        known = self._sent_to[mapped]
        match self.kind:
            case NatKind.FULL_CONE:
                passes = True
            case NatKind.RESTRICTED:
                passes = any(source.host == each.host for each in known)
            case NatKind.PORT_RESTRICTED | NatKind.SYMMETRIC:
                passes = source in known
        return inside if passes else None
