"""Audio devices: what there is, and which of them is used for what.

Theory of operation
-------------------
Sound has three *roles*: the microphone, the speaker (what the far end says, and all tones but one) and the ringtone,
which people like to hear where they are not listening. Each is played by a device: the one that was chosen, or else the
default of the system. A device that vanishes is chosen no longer.

Whoever has devices (a *back end*, on the driver's side) says which there are; `DeviceBook` keeps that up.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias

__all__ = ["DEFAULT", "AudioDevice", "DeviceBook", "DeviceKind", "Role"]

DeviceKind: TypeAlias = Literal["audioinput", "audiooutput"]

DEFAULT = "default"
"""The id of whatever device the system prefers; every back end takes it, listed or not."""

# Whoever reports more than that has lost count; each is looked at on every change.
MAX_DEVICES = 256


class Role(Enum):
    """What a device is used for."""

    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    RINGTONE = "ringtone"

    @property
    def kind(self) -> DeviceKind:
        return "audioinput" if self is Role.MICROPHONE else "audiooutput"


@dataclass(frozen=True, slots=True)
class AudioDevice:
    """A device, as browsers describe one (reference: availableDevices).

    Attributes:
        device_id: names it for as long as it is there; `default` for the system's choice.
        group_id: the same for devices in one box, such as the two sides of a headset.
    """

    device_id: str
    kind: DeviceKind
    label: str = ""
    group_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"deviceId": self.device_id, "kind": self.kind, "label": self.label, "groupId": self.group_id}


class DeviceBook:
    """The devices that there are, and the choice for each role."""

    def __init__(self) -> None:
        self.devices: tuple[AudioDevice, ...] = ()
        self._chosen: dict[Role, str] = {}

    def replace(self, devices: tuple[AudioDevice, ...]) -> tuple[tuple[AudioDevice, ...], tuple[AudioDevice, ...]]:
        """Takes the devices that there are now. Gives those that are new, and those that are gone."""
        devices = devices[:MAX_DEVICES]
        before = {(device.kind, device.device_id) for device in self.devices}
        now = {(device.kind, device.device_id) for device in devices}
        added = tuple(device for device in devices if (device.kind, device.device_id) not in before)
        removed = tuple(device for device in self.devices if (device.kind, device.device_id) not in now)
        self.devices = devices
        return added, removed

    def remove(self, kind: DeviceKind, device_id: str) -> AudioDevice | None:
        """A device has turned out to be gone. None: it was not known."""
        found = self.find(kind, device_id)
        self.devices = tuple(device for device in self.devices if device is not found)
        return found

    def find(self, kind: DeviceKind, device_id: str) -> AudioDevice | None:
        return next((each for each in self.devices if (each.kind, each.device_id) == (kind, device_id)), None)

    def has(self, kind: DeviceKind) -> bool:
        return any(device.kind == kind for device in self.devices)

    def filtered(self, kind: DeviceKind | None) -> list[AudioDevice]:
        """All, or those of one kind, in the back end's order."""
        return [device for device in self.devices if kind in (None, device.kind)]

    def choose(self, role: Role, device_id: str) -> None:
        self._chosen[role] = device_id

    def reset(self, role: Role) -> None:
        self._chosen.pop(role, None)

    def chosen(self, role: Role) -> str:
        """The id that was chosen; empty: none was."""
        return self._chosen.get(role, "")

    def device_for(self, role: Role) -> str | None:
        """The id of the device that plays this role; None where there is no device of its kind at all."""
        if not self.has(role.kind):
            return None
        return self.chosen(role) or DEFAULT

    def drop_choices(self) -> tuple[tuple[Role, str], ...]:
        """Takes back choices of devices that are gone; gives them."""
        dropped = tuple(
            (role, device_id)
            for role, device_id in self._chosen.items()
            if device_id != DEFAULT and self.find(role.kind, device_id) is None
        )
        for role, _ in dropped:
            del self._chosen[role]
        return dropped
