"""Machines on a simulated network, in virtual time: for this library's own tests, and for yours."""

from .link import Link, LinkState
from .world import Host, Logged, World

__all__ = ["Host", "Link", "LinkState", "Logged", "World"]
