"""The results as a matrix, RFC section by verdict: as text, JSON, JUnit and HTML."""

import json
from collections import Counter
from collections.abc import Sequence
from html import escape

from .case import Result
from .script import Verdict

__all__ = ["FORMATS", "Matrix"]

_HEAD = ("section", *(verdict.value for verdict in Verdict))

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse;margin:1em 0}"
    "td,th{border:1px solid #8888;padding:.25em .6em;text-align:left}td.n{text-align:right}"
    ".fail{background:#c223;font-weight:bold}.pass{background:#2a23}.silent{background:#88c3}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
)


class Matrix:
    """What a run came to.

    Args:
        target: how the target is called in what is written.
    """

    def __init__(self, target: str, results: Sequence[Result]) -> None:
        self.target = target
        self.results = tuple(results)

    @property
    def counts(self) -> Counter[Verdict]:
        return Counter(result.verdict for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether no case failed."""
        return not self.counts[Verdict.FAIL]

    def sections(self) -> dict[str, Counter[Verdict]]:
        """Of each RFC section, in order, how many cases came to which verdict."""
        found: dict[str, Counter[Verdict]] = {}
        for result in sorted(self.results, key=_order):
            case = result.case
            found.setdefault(f"{case.rfc} {case.section}", Counter())[result.verdict] += 1
        return found

    def summary(self) -> str:
        return ", ".join(f"{self.counts[verdict]} {verdict.value}" for verdict in Verdict)

    def text(self) -> str:
        """The matrix, then each case that did not pass."""
        rows = [_HEAD, *((name, *map(str, _row(counter))) for name, counter in self.sections().items())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        lines = [f"{self.target}: {self.summary()}", ""]
        for row in rows:
            numbers = ["." if cell == "0" else cell for cell in row[1:]]
            cells = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
            lines.append("  ".join((row[0].ljust(widths[0]), *cells)))
        for verdict in (Verdict.FAIL, Verdict.SILENT, Verdict.NOT_APPLICABLE):
            found = [result for result in self.results if result.verdict is verdict]
            lines += ["", f"{verdict.value}:"] if found else []
            lines += [_words(result) for result in found]
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """One object: the target, the counts, and a row a case."""
        rows = [
            {
                "name": result.case.name,
                "rfc": result.case.rfc,
                "section": result.case.section,
                "title": result.case.title,
                "level": result.case.level,
                "verdict": result.verdict.value,
                "detail": result.detail,
                "seconds": round(result.seconds, 3),
            }
            for result in self.results
        ]
        counts = {verdict.value: self.counts[verdict] for verdict in Verdict}
        return json.dumps({"target": self.target, "counts": counts, "cases": rows}, ensure_ascii=False) + "\n"

    def junit(self) -> str:
        """JUnit's XML, as build servers read it: a case a test, what is not applicable or silent skipped."""
        skipped = self.counts[Verdict.NOT_APPLICABLE] + self.counts[Verdict.SILENT]
        numbers = f'tests="{len(self.results)}" failures="{self.counts[Verdict.FAIL]}" errors="0" skipped="{skipped}"'
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f"<testsuite name={_quoted(self.target)} {numbers}>",
        ]
        for result in self.results:
            case = result.case
            name, group = _quoted(f"{case.name}: {case.title}"), _quoted(f"{case.rfc}.{case.section}")
            start = f'  <testcase classname={group} name={name} time="{result.seconds:.3f}"'
            if result.verdict is Verdict.PASS:
                lines.append(f"{start}/>")
            else:
                kind = "failure" if result.verdict is Verdict.FAIL else "skipped"
                detail = _quoted(f"{result.verdict.value}: {result.detail}")
                lines.append(f"{start}><{kind} message={detail}/></testcase>")
        return "\n".join([*lines, "</testsuite>", ""])

    def html(self) -> str:
        """A page of its own: the matrix, and a table of all cases."""
        head = "".join(f"<th>{escape(name)}</th>" for name in _HEAD)
        sections = "".join(
            f"<tr><td>{escape(name)}</td>"
            + "".join(
                f'<td class="n {verdict.name.lower() if number else ""}">{number or ""}</td>'
                for verdict, number in zip(Verdict, _row(counter), strict=True)
            )
            + "</tr>\n"
            for name, counter in self.sections().items()
        )
        cases = "".join(
            f'<tr class="{result.verdict.name.lower()}"><td>{escape(result.case.name)}</td>'
            f"<td>{escape(f'{result.case.rfc} {result.case.section}')}</td><td>{result.case.level}</td>"
            f"<td>{escape(result.case.title)}</td><td>{result.verdict.value}</td>"
            f"<td>{escape(result.detail)}</td></tr>\n"
            for result in self.results
        )
        title = escape(f"SIP conformance of {self.target}")
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>\n'
            f"<h1>{title}</h1><p>{escape(self.summary())}</p>\n<table><tr>{head}</tr>\n{sections}</table>\n"
            "<table><tr><th>case</th><th>section</th><th>level</th><th>what</th><th>verdict</th><th>why</th></tr>\n"
            f"{cases}</table></html>\n"
        )


def _quoted(text: str) -> str:
    """An attribute of XML, which has no control characters."""
    return f'"{escape("".join(each if each.isprintable() else "?" for each in text))}"'


FORMATS = {"text": Matrix.text, "json": Matrix.as_json, "junit": Matrix.junit, "html": Matrix.html}


def _row(counter: Counter[Verdict]) -> list[int]:
    return [counter[verdict] for verdict in Verdict]


def _order(result: Result) -> tuple[object, ...]:
    case = result.case
    numbers = [int(part) if part.isdigit() else 0 for part in case.section.split(".")]
    return (case.rfc, numbers, case.section)


def _words(result: Result) -> str:
    case = result.case
    return f"  {case.name} ({case.rfc} {case.section}, {case.level}): {case.title}: {result.detail}"
