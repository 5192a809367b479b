"""The SIP messages of a story as a ladder; each arrow opens to the message itself."""

from sansio_sip.sip.message import Response
from sansio_sip_cli.ladder import Arrow

from .markup import Html, element, joined
from .story import Story

__all__ = ["ladder"]

HEIGHT, MIDDLE = 34, 22

# Per cent of the width that times take.
TIME = 7.0

ARROWS = ("request", "ok", "fail")


def ladder(story: Story) -> Html:
    """One row a message. Positions are per cent, so that it is as wide as the page and its letters stay as they are."""
    ends = list(dict.fromkeys(end for arrow in story.arrows for end in (arrow.source, arrow.destination)))
    if not ends:
        return element("p", "There is no SIP in this trace.", class_="soft")
    step = (100.0 - TIME) / len(ends)
    middles = {end: TIME + step * (number + 0.5) for number, end in enumerate(ends)}
    names = [element("text", end, x=f"{middle:.2f}%", y=MIDDLE, class_="middle") for end, middle in middles.items()]
    rows = [element("div", element("svg", *names, height=HEIGHT), class_="head")]
    rows += [_row(arrow, arrow.time - story.start, middles) for arrow in story.arrows]
    note = element(
        "p", "Choose an arrow to read its message. Digest responses and tokens were never recorded.", class_="soft"
    )
    return joined(note, element("div", _heads(), *rows, class_="ladder"))


def _row(arrow: Arrow, time: float, middles: dict[str, float]) -> Html:
    parts = [element("text", f"{time:.3f}", x=12, y=MIDDLE)]
    for middle in middles.values():
        parts.append(element("line", x1=f"{middle:.2f}%", x2=f"{middle:.2f}%", y1=0, y2=HEIGHT, class_="life"))
    begin, end = middles[arrow.source], middles[arrow.destination]
    kind = "request"
    if isinstance(arrow.message, Response):
        kind = "ok" if arrow.message.status < 300 else "fail"
    if begin != end:
        # Arrowheads are as large at any width; the line ends where the head begins.
        parts.append(
            element(
                "line",
                x1=f"{begin:.2f}%",
                x2=f"{end:.2f}%",
                y1=MIDDLE + 4,
                y2=MIDDLE + 4,
                class_=f"arrow {kind}",
                marker_end=f"url(#{kind})",
            )
        )
    parts.append(element("text", arrow.label, x=f"{(begin + end) / 2:.2f}%", y=MIDDLE - 4, class_="label middle"))
    text = bytes(arrow.message).decode("utf-8", "replace").replace("\r\n", "\n")
    summary = element(
        "summary", element("svg", *parts, height=HEIGHT, aria_label=f"{arrow.label} to {arrow.destination}")
    )
    return element("details", summary, element("pre", text))


def _heads() -> Html:
    """The arrowheads, one of each colour."""
    colours = {"request": "--sent", "ok": "--good", "fail": "--poor"}
    markers = [
        element(
            "marker",
            element("path", d="M0 0L9 4.5L0 9z", style=f"fill: var({colours[kind]})"),
            id=kind,
            viewBox="0 0 9 9",
            refX=9,
            refY=4.5,
            markerWidth=9,
            markerHeight=9,
            orient="auto",
            markerUnits="userSpaceOnUse",
        )
        for kind in ARROWS
    ]
    return element("svg", element("defs", *markers), width=0, height=0, style="position: absolute; height: 0")
