"""Frozen values that are quick to make."""

from dataclasses import MISSING, fields
from typing import Any, TypeVar

__all__ = ["quick"]

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Gives a frozen, slotted dataclass an `__init__` that fills the slots through their own descriptors.

    The generated one calls `object.__setattr__` for each field and looks its name up: that takes twice as long, and
    reading one message makes a score of such values. Defaults must be immutable, and none by factory.
    """
    names = []
    namespace: dict[str, Any] = {}
    body = []
    for field in fields(cls):  # type: ignore[arg-type]  # raises if it is no dataclass
        assert field.default_factory is MISSING
        default = ""
        if field.default is not MISSING:
            namespace[f"default_{field.name}"] = field.default
            default = f"=default_{field.name}"
        names.append(f"{field.name}{default}")
        namespace[f"set_{field.name}"] = getattr(cls, field.name).__set__
        body.append(f"    set_{field.name}(self, {field.name})")
    exec("\n".join([f"def __init__(self, {', '.join(names)}):", *body]), namespace)
    init = namespace["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = init  # type: ignore[method-assign]  # the same signature
    return cls
