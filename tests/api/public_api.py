"""What programs may rely on, as text: each public name, and how each is called.

`PYTHONPATH=tests:transports:media:apps .venv/bin/python -m api.public_api` writes it into the file that is compared.
"""

import inspect
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path

__all__ = ["PINNED", "described"]

PINNED = Path(__file__).with_name("public_api.txt")

MODULES = (
    "sansio_sip.context",
    "sansio_sip.effects",
    "sansio_sip.errors",
    "sansio_sip.machine",
    "sansio_sip.trace",
    "sansio_sip.softphone",
    "sansio_sip.softphone.client_events",
    "sansio_sip.softphone.events",
    "sansio_sip.server",
    "sansio_sip.simulation",
    "sansio_sip.conformance",
    "sansio_sip.sip.headers",
    "sansio_sip.sip.message",
    "sansio_sip.sip.parser",
    "sansio_sip.sip.uri",
    "sansio_sip.sdp.model",
    "sansio_sip.sdp.parser",
    "sansio_sip_media.engine",
    "sansio_sip_async",
    "sansio_sip_asyncio.client",
    "sansio_sip_asyncio.driver",
    "sansio_sip_trio.client",
    "sansio_sip_trio.driver",
    "sansio_sip_devices",
)


def described() -> str:
    """A line for each name, and for each public method of a class."""
    return "".join(f"{line}\n" for module in MODULES for line in _module(module))


def _module(name: str) -> Iterator[str]:
    module = import_module(name)
    for public in sorted(module.__all__):
        value = getattr(module, public)
        if inspect.isclass(value):
            yield from _class(f"{name}.{public}", value)
        elif inspect.isroutine(value):
            yield f"{name}.{public}{_call(value)}"
        else:
            yield f"{name}.{public}"


def _class(path: str, cls: type) -> Iterator[str]:
    if issubclass(cls, Enum):
        yield f"{path}: {', '.join(cls.__members__)}"
        return
    plain = cls.__init__ is object.__init__ or issubclass(cls, BaseException)
    yield path if plain else f"{path}{_call(cls.__init__, bound=True)}"
    ours = {name for base in cls.__mro__ if base.__module__.startswith("sansio_sip") for name in vars(base)}
    for name in sorted(name for name in ours if not name.startswith("_")):
        found = inspect.getattr_static(cls, name)
        if isinstance(found, property):
            yield f"{path}.{name}"
        elif isinstance(found, classmethod | staticmethod):
            yield f"{path}.{name}{_call(getattr(cls, name))}"
        elif inspect.isfunction(found):
            yield f"{path}.{name}{_call(found, bound=True)}"


def _call(function: object, *, bound: bool = False) -> str:
    """Names, kinds and whether one may be left out: types and defaults are written differently by each Python."""
    parts: list[str] = []
    keywords = False
    for parameter in list(inspect.signature(function).parameters.values())[bound:]:  # type: ignore[arg-type]
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            parts.append("*")
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else star
        keywords = keywords or star == "*"
        parts.append(f"{star}{parameter.name}{'' if parameter.default is parameter.empty else '=...'}")
    return f"({', '.join(parts)})"


if __name__ == "__main__":
    PINNED.write_text(described(), encoding="utf-8")
