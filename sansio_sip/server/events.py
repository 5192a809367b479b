"""Events of the server: what a program is told."""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

__all__ = ["BindingAdded", "BindingRemoved", "ServerEvent", "ServerFailed", "ServerListening"]


@dataclass(frozen=True, slots=True)
class ServerListening:
    """A listener is open. `url` has its real address and port."""

    url: str

    name: ClassVar[str] = "onServerListening"

    def as_dict(self) -> dict[str, Any]:
        return {"url": self.url}


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """A listener could not be opened, or was lost. `url` is as it was asked for."""

    url: str
    reason: str

    name: ClassVar[str] = "onServerFailed"

    def as_dict(self) -> dict[str, Any]:
        return {"url": self.url, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class BindingAdded:
    """A device of a user can be reached. Once a device: a refresh is silent.

    Attributes:
        address: of record, `sip:user@domain`.
        contact: the device's own URI.
        transport: that it is reached by.
        expires: seconds granted.
    """

    address: str
    contact: str
    transport: str
    expires: int

    name: ClassVar[str] = "onBindingAdded"

    def as_dict(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "contact": self.contact,
            "transport": self.transport,
            "expires": self.expires,
        }


@dataclass(frozen=True, slots=True)
class BindingRemoved:
    """A device cannot be reached any more. `reason`: "removed" by the user, "expired", or "flow lost"."""

    address: str
    contact: str
    reason: str

    name: ClassVar[str] = "onBindingRemoved"

    def as_dict(self) -> dict[str, Any]:
        return {"address": self.address, "contact": self.contact, "reason": self.reason}


ServerEvent: TypeAlias = ServerListening | ServerFailed | BindingAdded | BindingRemoved
