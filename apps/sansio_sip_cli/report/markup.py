"""HTML from values: whatever is not `Html` already is escaped, so nothing of a trace can become markup."""

from html import escape
from typing import TypeAlias

__all__ = ["Child", "Html", "element", "joined"]

VOID = frozenset({"meta", "br", "line", "rect", "circle", "path", "use"})


class Html(str):
    """Text that is markup."""

    __slots__ = ()


Child: TypeAlias = "Html | str | int | float | None"


def joined(*children: Child) -> Html:
    """One after the other. None is nothing."""
    return Html(
        "".join(child if isinstance(child, Html) else escape(str(child)) for child in children if child is not None)
    )


def element(name: str, /, *children: Child, **attributes: str | int | float | None) -> Html:
    """An element. In the names of attributes `_` stands for `-`, one at the end is dropped; None leaves one out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID and not children:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{joined(*children)}</{name}>")
