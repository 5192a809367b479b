"""Scenarios: those of the command, and those of a file: `[WEIGHT*]NAME` or `[WEIGHT*]FILE.py:FUNCTION`."""

import inspect
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click

from .caller import Caller

__all__ = ["BUILT_IN", "Scenario", "choose", "load_scenario"]

Function = Callable[[Caller], Awaitable[object]]


async def hold(caller: Caller) -> None:
    """Calls, stays, hangs up."""
    call = await caller.call()
    await call.stay(caller.hold)


async def talk(caller: Caller) -> None:
    """Calls and speaks for as long as the call is to last."""
    call = await caller.call()
    await call.has_media()
    end = caller.hold
    seconds = caller.clip.seconds
    while call.is_up and end > 0:
        await call.say(caller.clip)
        end -= seconds
    await call.stay(0.5)


async def keys(caller: Caller) -> None:
    """Calls, presses a key once a second, and waits each time until the far end presses it too."""
    call = await caller.call()
    await call.has_media()
    for digit in "159#"[: max(1, int(caller.hold))]:
        await call.round_trip(digit)
        await call.stay(0.5)


BUILT_IN: dict[str, Function] = {"hold": hold, "talk": talk, "keys": keys}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of a mix. `weight`: how often it is taken beside the others."""

    name: str
    weight: float
    run: Function


def load_scenario(text: str, sources: dict[str, str] | None = None) -> Scenario:
    """Makes one.

    Args:
        sources: the texts of files, by path; what is not among them is read, and put there.

    Raises:
        click.UsageError: it says what is wrong with the scenario.
    """
    weight, star, name = text.rpartition("*")
    try:
        share = float(weight) if star else 1.0
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        raise click.UsageError(f"--scenario is {text!r}: the weight must be a number over 0, as in 3*talk")
    if name in BUILT_IN:
        return Scenario(name, share, BUILT_IN[name])
    path, colon, function = name.rpartition(":")
    if not colon:
        raise click.UsageError(f"--scenario is {text!r}: give {', '.join(BUILT_IN)}, or FILE.py:FUNCTION")
    known = {} if sources is None else sources
    try:
        if path not in known:
            known[path] = Path(path).read_text("utf-8")
        with redirect_stdout(sys.stderr):  # standard output is for the figures
            found = _run(path, known[path]).get(function)
    except OSError as error:
        raise click.UsageError(f"--scenario: cannot read {path}: {error.strerror}; give FILE.py:FUNCTION") from None
    except Exception as error:
        # It is a program of the user's: whatever it raises is to be told, not traced.
        raise click.UsageError(f"--scenario: {path} cannot be run: {error!r}; see to it") from None
    if not inspect.iscoroutinefunction(found):
        raise click.UsageError(f"--scenario: {path} has no async function {function!r}; give one of one argument")
    return Scenario(f"{Path(path).name}:{function}", share, found)


def choose(scenarios: Sequence[Scenario], seed: int, number: int) -> Scenario:
    """Which one is the n-th of a run: the same whoever asks."""
    draw = random.Random(f"{seed}/{number}")
    return draw.choices(scenarios, [each.weight for each in scenarios])[0]


def _run(path: str, source: str) -> dict[str, object]:
    """Runs a file as a module, which dataclasses and pickles of its own look for by name."""
    module = ModuleType(f"scenario_{Path(path).stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module.__dict__
