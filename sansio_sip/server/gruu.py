"""Globally routable URIs of devices (RFC 5627): they name one device of a user, wherever it is at the moment.

The public one says whose it is and is made of the instance; nothing is kept for it. A temporary one says nothing: it is
a name drawn at random, of which each device keeps a few, for a peer of an earlier call may still know the last ones.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from sansio_sip.context import Context
from sansio_sip.sip.uri import SipUri

__all__ = ["GruuTable"]

# Temporary names of one device that are good at one time. A new one comes with each refresh of its binding.
MAX_TEMPORARY = 8

_Device = tuple[str, str]  # user and instance


@dataclass(slots=True)
class GruuTable:
    """The temporary names of all devices, and how public ones are made and read."""

    context: Context
    domain: str
    _devices: dict[str, _Device] = field(default_factory=dict)
    _names: dict[_Device, "OrderedDict[str, None]"] = field(default_factory=dict)

    def public(self, user: str, instance: str) -> SipUri:
        """`gr` holds the instance, without its angle brackets (section 3.1)."""
        return SipUri(self.domain, user, parameters=(("gr", instance.strip("<>")),))

    def temporary(self, user: str, instance: str) -> SipUri:
        """A new one (section 3.2)."""
        device = (user, instance.strip("<>").lower())
        names = self._names.setdefault(device, OrderedDict())
        while len(names) >= MAX_TEMPORARY:
            del self._devices[names.popitem(last=False)[0]]
        name = f"tgruu.{self.context.entropy.gruu()}"
        names[name] = None
        self._devices[name] = device
        return SipUri(self.domain, name, parameters=(("gr", None),))

    def forget(self, user: str, instance: str) -> None:
        """The device is gone: its temporary names lead nowhere any more (section 5.3)."""
        for name in self._names.pop((user, instance.strip("<>").lower()), ()):
            del self._devices[name]

    def device(self, uri: SipUri) -> tuple[str, str] | None:
        """User and instance that a GRUU of this domain names; None for any other URI.

        Whether there is such a device is the location service's affair.
        """
        instance = uri.parameter("gr")
        if instance is None or uri.user is None:
            return None
        return (uri.user, instance.strip("<>").lower()) if instance else self._devices.get(uri.user)

    def __len__(self) -> int:
        return len(self._devices)
