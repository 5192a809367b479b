"""A softphone as pure sans-IO state machines.

What programs use most is here too, by its own name: events, options, `Client` and `Softphone`. It is loaded when it is
first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .softphone import *  # noqa: F403
    from .softphone.client_events import *  # noqa: F403
    from .softphone.events import *  # noqa: F403

__version__ = "0.1.0"

SOURCES = ("sansio_sip.softphone.events", "sansio_sip.softphone.client_events", "sansio_sip.softphone")


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for source in SOURCES:
            module = import_module(source)
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module 'sansio_sip' has no attribute {name!r}")
