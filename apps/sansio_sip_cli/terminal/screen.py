"""The screen of the terminal's phone: what `Line` knows, in 80 columns and 24 rows, or as many as there are."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, DataTable, Footer, Input, RichLog, Static, TabbedContent, TabPane

from sansio_sip.softphone.call_info import CallUuid

from .line import MAX_LINES, Line, Lines

__all__ = ["PhoneScreen"]

KEYS = "123456789*0#"

# Widgets have names of letters.
NAMES = {"*": "star", "#": "pound"}

# dBov from which a level is drawn, and the columns for it.
SILENCE, BAR = -60.0, 22

# Blocks of a curve, and what its ends stand for: the same at any time, so that a bad second looks like one.
BLOCKS = "▁▂▃▄▅▆▇█"
MOS, JITTER = (1.0, 4.5), (0.0, 80.0)


class PhoneScreen(App[None]):
    """The application. `line` is open already, or is being opened."""

    TITLE = "sansio-sip phone"
    ENABLE_COMMAND_PALETTE = False

    CSS = """
    #top { height: 1; background: $primary; color: $text; padding: 0 1; text-style: bold; }
    #left { width: 37; height: 1fr; padding: 0 1 0 0; }
    #right { width: 1fr; height: 1fr; }
    #target { height: 3; }
    #pad { grid-size: 6 2; height: 2; }
    #actions { grid-size: 3 2; height: 2; margin: 1 0; }
    Button { width: 1fr; min-width: 3; height: 1; margin: 0 1 0 0; border: none; }
    #calls { height: 1fr; scrollbar-size-horizontal: 0; }
    #out, #in, #mos, #jitter, #figures { height: 1; }
    #mos, #jitter { color: $success; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    RichLog { height: 1fr; scrollbar-size-horizontal: 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "call", "Call"),
        Binding("f3", "answer", "Answer"),
        Binding("f4", "hang_up", "Hang up"),
        Binding("f5", "hold", "Hold"),
        Binding("f6", "mute", "Mute"),
        Binding("f7", "transfer", "Transfer"),
        Binding("f8", "ladder", "SIP"),
        Binding("f10,ctrl+q", "quit", "Quit"),
    ]

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line
        self._shown = {"log": 0, "ladder": 0}
        # Speech has gaps: the loudest of half a second is what an eye can follow.
        self._levels: deque[tuple[float, float]] = deque(maxlen=5)

    def compose(self) -> ComposeResult:
        yield Static(id="top", markup=False)
        with Horizontal():
            with Vertical(id="left"):
                yield Input(placeholder="name, number or sip:...", id="target")
                with Grid(id="pad"):
                    for key in KEYS:
                        yield Button(key, id=f"key-{NAMES.get(key, key)}")
                with Grid(id="actions"):
                    for name, label, variant in (
                        ("call", "Call", "success"),
                        ("answer", "Answer", "success"),
                        ("hang_up", "Hang up", "error"),
                        ("hold", "Hold", "default"),
                        ("mute", "Mute", "default"),
                        ("transfer", "Transfer", "default"),
                    ):
                        yield Button(label, id=name, variant=variant)  # type: ignore[arg-type]
                yield DataTable(id="calls", cursor_type="row", show_header=True)
            with Vertical(id="right"):
                yield Static(id="out", markup=False)
                yield Static(id="in", markup=False)
                yield Static(id="mos", markup=False)
                yield Static(id="jitter", markup=False)
                yield Static(id="figures", markup=False)
                with TabbedContent(id="tabs"):
                    with TabPane("Events", id="events"):
                        yield RichLog(id="log", max_lines=MAX_LINES, wrap=True, min_width=20)
                    with TabPane("SIP", id="sip"):
                        yield RichLog(id="ladder", max_lines=MAX_LINES, wrap=False, min_width=20)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        table = self.query_one("#calls", DataTable)
        table.add_column("far end", width=15, key="far")
        table.add_column("state", width=10, key="state")
        table.add_column("for", width=5, key="for")
        self._line.changed = self.refresh_line
        self.set_interval(0.1, self._draw_levels)
        self.set_interval(1.0, self._each_second)
        self.refresh_line()
        self.query_one("#target", Input).focus()

    # Drawing

    def refresh_line(self) -> None:
        """Draws what the line has to tell."""
        if not self._is_drawn:
            return
        who = str(self._line.options.address).removeprefix("sip:")
        self.query_one("#top", Static).update(f"{who}   {self._line.status}")
        self._fill("log", self._line.log)
        self._fill("ladder", self._line.ladder)
        self._draw_calls()

    def _fill(self, name: str, lines: Lines) -> None:
        """Adds the lines that are new."""
        log = self.query_one(f"#{name}", RichLog)
        missing = min(lines.total - self._shown[name], len(lines))
        for line in islice(lines, len(lines) - missing, None):
            log.write(line)
        self._shown[name] = lines.total

    def _draw_calls(self) -> None:
        table = self.query_one("#calls", DataTable)
        now = self._line.now()
        chosen = self._line.chosen
        rows = {}
        for name, party in self._line.parties.items():
            seconds = int(now - (party.began if party.answered is None else party.answered))
            mark = "▸" if party is chosen and len(self._line.parties) > 1 else ""
            # `Text`: what is a str here, the table takes for markup, and the far end chooses its name.
            cells = (f"{mark}{party.far_end}", party.state, f"{seconds // 60}:{seconds % 60:02}")
            rows[str(name)] = [Text(cell) for cell in cells]
        for key in [str(key.value) for key in table.rows if key.value not in rows]:
            table.remove_row(key)
        for key in rows:
            if key not in table.rows:
                table.add_row(*rows[key], key=key)
            else:
                for column, cell in zip(("far", "state", "for"), rows[key], strict=True):
                    table.update_cell(key, column, cell)

    @property
    def _is_drawn(self) -> bool:
        """False before the first and after the last moment: timers and calls know nothing of the screen's life."""
        return self.is_running and bool(self.query("#figures"))

    def _draw_levels(self) -> None:
        if not self._is_drawn:
            return
        levels = self._line.levels
        self._levels.append((levels.input_dbov, levels.output_dbov))
        self.query_one("#out", Static).update(_bar("out", max(out for out, _ in self._levels)))
        self.query_one("#in", Static).update(_bar("in", max(heard for _, heard in self._levels)))

    def _each_second(self) -> None:
        if not self._is_drawn:
            return
        self._line.measure()
        self._draw_calls()
        party = self._line.chosen
        self.query_one("#mos", Static).update(_curve("MOS", party.mos if party is not None else (), *MOS))
        self.query_one("#jitter", Static).update(_curve("jitter", party.jitter if party is not None else (), *JITTER))
        self.query_one("#figures", Static).update(self._figures())

    def _figures(self) -> str:
        party = self._line.chosen
        if party is None or party.answered is None:
            return ""
        sample = party.latest
        score = f"{party.mos[-1]:.2f}" if party.mos else "?"
        jitter = "?" if sample.remote_jitter_ms is None else f"{sample.remote_jitter_ms:.0f}"
        loss = "?" if sample.remote_loss is None else f"{100 * sample.remote_loss:.0f}"
        keys = f" keys {party.digits[-6:]}" if party.digits else ""
        return f"MOS {score} jitter {jitter} ms loss {loss} %{keys}"

    # Doing

    def action_call(self) -> None:
        self._line.call(self._take_target())

    def action_answer(self) -> None:
        self._line.answer()

    def action_hang_up(self) -> None:
        self._line.hang_up()

    def action_hold(self) -> None:
        self._line.toggle_hold()

    def action_mute(self) -> None:
        self._line.toggle_mute()

    def action_transfer(self) -> None:
        self._line.transfer(self._take_target())

    def action_ladder(self) -> None:
        """The other one of events and SIP messages."""
        tabs = self.query_one("#tabs", TabbedContent)
        tabs.active = "events" if tabs.active == "sip" else "sip"

    @on(Input.Submitted, "#target")
    def _submitted(self) -> None:
        self.action_call()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        name = event.button.id or ""
        if name.startswith("key-"):
            digit = next(key for key in KEYS if name == f"key-{NAMES.get(key, key)}")
            if self._line.chosen is not None:
                self._line.press(digit)
            else:
                self.query_one("#target", Input).insert_text_at_cursor(digit)
        else:
            getattr(self, f"action_{name}")()

    @on(DataTable.RowSelected, "#calls")
    def _selected(self, event: DataTable.RowSelected) -> None:
        self._line.choose(CallUuid(str(event.row_key.value)))

    def _take_target(self) -> str:
        target = self.query_one("#target", Input)
        text = target.value.strip()
        target.value = ""
        return text


def _curve(name: str, values: Iterable[float], low: float, high: float) -> str:
    """The last seconds, one a column, the latest at the right."""
    shown = [BLOCKS[round((min(max(each, low), high) - low) / (high - low) * 7)] for each in values][-BAR - 8 :]
    return f"{name:<6} {''.join(shown)}"


def _bar(name: str, level: float) -> str:
    """A level as a bar and a number."""
    share = min(1.0, max(0.0, (level - SILENCE) / -SILENCE))
    full = round(share * BAR)
    shown = f"{level:4.0f} dB" if level > SILENCE else "silent"
    return f"{name:<6} {'█' * full}{'░' * (BAR - full)} {shown}"
