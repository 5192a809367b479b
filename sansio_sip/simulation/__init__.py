"""Machines on a simulated network, in virtual time: for this library's own tests, and for yours."""

from .explore import EPOCH, Exploration, Violation, Wire, explore
from .link import Link, LinkState
from .world import Host, Logged, World

__all__ = [
    "EPOCH",
    "Exploration",
    "Host",
    "Link",
    "LinkState",
    "Logged",
    "Violation",
    "Wire",
    "World",
    "explore",
]
