"""The bar that the demo shows on a terminal."""

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Bar"]


class Bar:
    """A bar on standard error, where that is a terminal; the timeline scrolls by above it."""

    # Seconds. Drawing takes milliseconds that audio may want.
    REDRAW_EVERY = 0.25

    def __init__(self, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            # Not from a thread of its own, which would take the interpreter away in the middle of a tick.
            auto_refresh=False,
            # Lines on standard output move the bar out of their way only where they go to the same terminal.
            redirect_stdout=sys.stdout.isatty(),
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("registering", total=None)
        self._drawn = float("-inf")

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        """Takes the bar away; no harm where there is none."""
        self._progress.stop()

    def show(self, what: str, seconds: float, total: float) -> None:
        redraw = seconds - self._drawn >= self.REDRAW_EVERY
        if redraw:
            self._drawn = seconds
        self._progress.update(self._task, description=what, completed=seconds, total=total, refresh=redraw)
