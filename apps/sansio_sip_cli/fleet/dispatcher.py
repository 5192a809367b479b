"""The list of phones that Kamailio's dispatcher reads: one set, a line for each phone that is there."""

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["SET", "dispatcher_list", "write_list"]

# The number of the set in the list, and in `ds_select_dst`.
SET = 1

HEAD = "# Phones of `sansio-sip fleet`, which writes this file anew whenever one comes or goes.\n"


def dispatcher_list(phones: Iterable[tuple[int, str, int]]) -> str:
    """The text, of phones by number, host and port: set, destination, flags, priority, attributes."""
    lines = []
    for number, host, port in phones:
        where = f"[{host}]" if ":" in host else host
        lines.append(f"{SET} sip:{where}:{port};transport=udp 0 0 duid=phone{number}\n")
    return HEAD + "".join(lines)


def write_list(path: Path, text: str) -> None:
    """Puts it there at once: who reads the file meanwhile finds either the old list or the new one. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
