"""The report of a run as one HTML page, in the style of `report`."""

from collections.abc import Iterable
from importlib.resources import files

from sansio_sip_cli.report.markup import Html, element, joined
from sansio_sip_cli.report.plots import Series, bars, plot

from .figures import Figures, Goal
from .tally import HISTOGRAMS

__all__ = ["page"]

TITLES = {
    "setup": "Set-up time",
    "ring": "Time to ringing",
    "media": "Answer to audio",
    "dtmf": "Key round trip",
    "mos": "MOS",
    "loss": "Loss",
    "jitter": "Jitter",
    "rtt": "Round trip",
    "late": "Lateness of the generator",
}

COLUMNS = 40


def page(figures: Figures, goals: list[Goal], about: str) -> str:
    """The whole page; `about` says what was run."""
    style = files("sansio_sip_cli.report").joinpath("page.css").read_text("utf-8")
    tally = figures.tally
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Load: {about}"),
        element("style", Html(style)),
    )
    parts = [element("h1", "Load"), element("p", about, class_="soft"), _verdict(figures, goals)]
    parts.append(_counts(figures))
    parts.append(element("h2", "Over time"))
    last = max((max(row, default=0) for row in tally.seconds.values()), default=0)
    curves = [
        Series(name, kind, [(second, float(row.get(second, 0))) for second in range(last + 1)])
        for (name, row), kind in zip(tally.seconds.items(), ("both", "sent", "heard"), strict=True)
    ]
    parts.append(element("div", plot("Calls", "a second", curves, span=(0, max(1, last))), class_="plots"))
    parts.append(element("h2", "Distributions"))
    drawn = [_distribution(figures, name) for name in HISTOGRAMS if tally.measured(name)]
    parts.append(element("div", *drawn, class_="plots"))
    parts.append(element("h2", "Failures by cause"))
    if tally.failures:
        parts.append(_table(("cause", "calls"), ((cause, count) for cause, count in tally.failures.most_common())))
    else:
        parts.append(element("p", "None.", class_="soft"))
    return "<!doctype html>\n" + element("html", head, element("body", *parts), lang="en") + "\n"


def _verdict(figures: Figures, goals: list[Goal]) -> Html:
    rows = []
    if figures.fault:
        rows.append(element("p", element("span", "This run does not count: ", class_="poor"), figures.fault))
    if figures.interrupted:
        rows.append(element("p", "The run was ended before its time."))
    values = figures.all()
    for goal in goals:
        kept, value = goal.is_kept(values), values[goal.figure]
        word = element("span", "kept" if kept else "missed", class_="good" if kept else "poor")
        rows.append(element("p", word, f" {goal}: {'not measured' if value is None else f'{value:g}'}"))
    return joined(*rows)


def _counts(figures: Figures) -> Html:
    counts = figures.tally.counts
    rate = f"{counts['placed'] / max(figures.seconds, 1e-9):.1f} a second"
    cells: list[tuple[str, str]] = [
        ("placed", f"{counts['placed']} ({rate})"),
        ("answered", str(counts["answered"])),
        ("failed", str(counts["failed"])),
    ]
    if counts["with media"]:
        cells.append(("heard one way", f"{counts['one way']} of {counts['with media']}"))
        lost = f"{counts['packets sent']} sent, {counts['packets received']} received, {counts['packets lost']} lost"
        cells.append(("packets", lost))
    cells.append(("scenarios", ", ".join(f"{count} × {name}" for name, count in figures.tally.scenarios.items())))
    parts = [part for name, value in cells for part in (element("dt", name), element("dd", value))]
    return element("div", element("div", element("b", "Calls"), element("dl", *parts), class_="card"), class_="cards")


def _distribution(figures: Figures, name: str) -> Html:
    tally = figures.tally
    unit = HISTOGRAMS[name][0]
    values = [tally.mean(name), *(tally.at(name, each) for each in (50, 95, 99, 100))]
    words = " / ".join(f"{value:.2f}" for value in values if value is not None)
    note = f"{unit} n = {tally.measured(name)}; mean / p50 / p95 / p99 / max {words}"
    return bars(TITLES[name], note, tally.bars(name), columns=COLUMNS)


def _table(names: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Html:
    head = element("tr", *(element("th", name) for name in names))
    body = [element("tr", *(element("td", str(cell)) for cell in row)) for row in rows]
    return element("table", element("thead", head), element("tbody", *body))
