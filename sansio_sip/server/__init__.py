"""A SIP registrar and proxy as a pure machine: what the demo, the tests and the simulation run against."""

from .events import BindingAdded, BindingRemoved, ServerEvent, ServerFailed, ServerListening
from .options import ServerOptions
from .server import Server, ServerOutput

__all__ = [
    "BindingAdded",
    "BindingRemoved",
    "Server",
    "ServerEvent",
    "ServerFailed",
    "ServerListening",
    "ServerOptions",
    "ServerOutput",
]
