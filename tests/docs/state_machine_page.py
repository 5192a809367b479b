"""Writes docs/design/state_machines.md from the transition tables.

Run: PYTHONPATH=tests:media python -m docs.state_machine_page
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from sansio_sip import connection_state
from sansio_sip.sip import registration, session_state
from sansio_sip.sip.transactions import invite_client, invite_server, non_invite_client, non_invite_server
from sansio_sip_media.ice import pair

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design" / "state_machines.md"

HEAD = """# State machines

Drawn from the transition tables that the machines run by; a test fails when this page is not up to date. What is not
drawn cannot happen: an input for which a state has no arrow changes nothing.

`make model` explores pairs of these machines over a network that loses, doubles and reorders (see
`sansio_sip.simulation.explore`): every state within its bounds is visited, and the properties that it prints hold in
all of them. A run of it, whose properties all held:

| Exploration | States | Transitions | Final states |
|---|---|---|---|
| OPTIONS and 200 | 7,679 (all of them) | 27,404 | 16 |
| INVITE, 180 and 200 | 12,072 (all of them) | 22,179 | 23 |
| offer/answer with glare, 2 re-offers each | 328 (all of them) | 484 | 22 |

ICE roles and registration are explored to a depth, for consent and refreshes go on for ever.
"""

TABLES: dict[str, Mapping[Any, Any]] = {
    "INVITE client transaction": invite_client.TRANSITIONS,
    "INVITE server transaction": invite_server.TRANSITIONS,
    "Non-INVITE client transaction": non_invite_client.TRANSITIONS,
    "Non-INVITE server transaction": non_invite_server.TRANSITIONS,
    "Registration": registration.TRANSITIONS,
    "Session of a call": session_state.TRANSITIONS,
    "Signalling connection": connection_state.TRANSITIONS,
    "ICE candidate pair": pair.TRANSITIONS,
}


def page() -> str:
    return "\n".join([HEAD, *(diagram(name, table) for name, table in TABLES.items())])


def diagram(name: str, table: Mapping[Any, Any]) -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for key, after in table.items():
        if isinstance(key, tuple):
            arrows.setdefault((key[0].name, after.name), []).append(str(key[1].value).replace(":", " -"))
        else:
            for each in type(key):
                if each in after:
                    arrows.setdefault((key.name, each.name), [])
    first = next(iter(table))
    start = first[0] if isinstance(first, tuple) else first
    assert isinstance(start, Enum)
    lines = [f"## {name}", "", "```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(type(start))).name}"]
    for (one, other), inputs in arrows.items():
        lines.append(f"    {one} --> {other}" + (f" : {', '.join(inputs)}" if inputs else ""))
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
