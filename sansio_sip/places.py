"""At which server each flow of an account is, so that no two share the fate of one (RFC 5626 section 4.2)."""

from sansio_sip.effects import Address
from sansio_sip.sip.locating import Target

__all__ = ["Places", "is_in_reach"]


class Places:
    """One table for all connections of an account; each writes its own row, by its name."""

    def __init__(self) -> None:
        self._rows: dict[str, Address] = {}

    def take(self, name: str, address: Address | None) -> None:
        """The connection of that name tries this address, or has its flow there."""
        if address is not None:
            self._rows[name] = address

    def leave(self, name: str) -> None:
        self._rows.pop(name, None)

    def is_free(self, target: Target, name: str) -> bool:
        """Whether no other connection is there."""
        return all(taken != target.address for other, taken in self._rows.items() if other != name)


def is_in_reach(target: Target, bind: Address) -> bool:
    """Whether a flow from where we are bound can reach it: a bound UDP socket is of one family."""
    if target.transport != "UDP" or bind.host in ("0.0.0.0", "::"):
        return True
    return (":" in bind.host) == (":" in target.address.host)
