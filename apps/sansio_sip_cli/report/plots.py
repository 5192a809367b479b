"""Curves over time as inline SVG: drawn here, in the colours of the page's style sheet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from .markup import Html, element, joined

__all__ = ["Series", "bars", "plot", "ticks"]

WIDTH, HEIGHT = 580, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 26

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. `kind` names its colour in the style sheet; a value of None is a gap."""

    label: str
    kind: str
    points: Sequence[tuple[float, float | None]]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points if value is not None]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high, some `about` of them."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / about
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [number * step for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def plot(
    title: str,
    unit: str,
    series: Iterable[Series],
    *,
    span: tuple[float, float],
    low: float = 0.0,
    high: float | None = None,
    bad: float | None = None,
    spans: Iterable[tuple[float, float]] = (),
) -> Html:
    """A figure: curves over seconds, with a legend that says least, mean and most of each.

    Args:
        span: seconds from and to.
        low, high: of the value; high None: as much as the curves need.
        bad: a threshold, drawn as a line.
        spans: seconds that a warning stood.
    """
    shown = [each for each in series if each.values]
    if not shown:
        return element(
            "figure", element("figcaption", element("b", title), " not measured in this call"), class_="none"
        )
    values = [value for each in shown for value in each.values]
    top = high if high is not None else _above(max([*values, bad if bad is not None else low]), low)
    begin, end = span[0], max(span[1], span[0] + 0.1)

    def x(time: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (time - begin) / (end - begin), 1)

    def y(value: float) -> float:
        share = (min(max(value, low), top) - low) / (top - low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    parts = [_grid(x, y, (begin, end), (low, top))]
    for start, stop in spans:
        width = max(1.0, round(x(min(stop, end)) - x(start), 1))
        parts.append(element("rect", x=x(start), y=TOP, width=width, height=HEIGHT - TOP - BOTTOM, class_="warned"))
    if bad is not None and low <= bad <= top:
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(bad), y2=y(bad), class_="bad"))
    for each in shown:
        parts.append(
            element(
                "path",
                d=_path([(x(time), v if v is None else y(v)) for time, v in each.points]),
                class_=f"curve {each.kind}",
            )
        )
    legend = [_legend(each) for each in shown]
    drawing = element(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"{title} over time, {unit}"
    )
    return element("figure", element("figcaption", element("b", title), f" {unit} ", *legend), drawing)


def _above(most: float, low: float) -> float:
    """A round number with room above the highest value."""
    steps = ticks(low, low + max(most - low, 1e-3) * 1.15)
    step = steps[1] - steps[0] if len(steps) > 1 else max(most - low, 1e-3)
    return low + ceil(max(most - low, 1e-3) * 1.05 / step) * step


def _grid(x: object, y: object, span: Point, values: Point) -> Html:
    assert callable(x)
    assert callable(y)
    lines = []
    for value in ticks(*values, about=4):
        lines.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid"))
        lines.append(element("text", f"{value:g}", x=LEFT - 6, y=y(value) + 4, class_="left"))
    for time in ticks(*span, about=8):
        lines.append(element("text", f"{time:g} s", x=x(time), y=HEIGHT - 8, class_="below"))
        lines.append(element("line", x1=x(time), x2=x(time), y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4, class_="grid"))
    return joined(*lines)


def _path(points: Iterable[tuple[float, float | None]]) -> str:
    """Straight lines; a gap begins anew. A point alone is a short dash."""
    words: list[str] = []
    drawing = False
    for x, y in points:
        if y is None:
            drawing = False
            continue
        words.append(f"{'L' if drawing else 'M'}{x:g} {y:g}")
        if not drawing:
            words.append("h0.1")
        drawing = True
    return "".join(words)


def _legend(series: Series) -> Html:
    values = series.values
    least, mean, most = min(values), sum(values) / len(values), max(values)
    figures = f"{_short(least)} / {_short(mean)} / {_short(most)}"
    return element(
        "span", element("i", class_=series.kind), f"{series.label} {figures}", class_="key", title="least / mean / most"
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def bars(title: str, note: str, values: Sequence[tuple[float, int]], *, columns: int = 40) -> Html:
    """A distribution: each value with its count, gathered in columns of equal width."""
    low, high = min(value for value, _ in values), max(value for value, _ in values)
    width = max(high - low, max(abs(high), 1.0) / 100) / columns
    heights = [0] * columns
    for value, count in values:
        heights[min(columns - 1, int((value - low) / width))] += count
    top = max(heights)
    step = (WIDTH - LEFT - RIGHT) / columns
    room = HEIGHT - TOP - BOTTOM
    parts: list[Html] = []
    for mark in ticks(0, top, about=4):
        y = round(HEIGHT - BOTTOM - room * mark / top, 1)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(element("text", f"{mark:g}", x=LEFT - 6, y=y + 4, class_="left"))
    for number, height in enumerate(heights):
        if height:
            tall = max(1.0, round(room * height / top, 1))
            tip = element("title", f"{height} from {low + number * width:.3g} to {low + (number + 1) * width:.3g}")
            x = round(LEFT + number * step, 1)
            parts.append(
                element(
                    "rect", tip, x=x, y=HEIGHT - BOTTOM - tall, width=round(step - 1, 1), height=tall, class_="wave"
                )
            )
    end = low + columns * width
    for value in ticks(low, end, about=7):
        at = round(LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (end - low), 1)
        parts.append(element("text", f"{value:.4g}", x=at, y=HEIGHT - 8, class_="below"))
    drawing = element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"distribution: {title}")
    return element("figure", element("figcaption", element("b", title), f" {note}"), drawing)
