"""Every row of the parity sheet has a test with its id in its name, or stands in a list of those that have none yet."""

import re
from typing import Any

import pytest
from parity.page import PAGE, ROWS, page
from parity.rows import MISSING, MISSING_FAULTS, MISSING_ON_LOOPBACK, faults, ids, proofs

import sansio_sip
from sansio_sip.softphone.devices import AudioDevice

PROOFS = proofs()


def test_the_sheet_is_read_whole() -> None:
    rows = ids()
    assert len([row for row in rows if row[0] == "M"]) == 38
    assert len([row for row in rows if row[0] == "A"]) == 13
    assert len([row for row in rows if row[0] == "E"]) == 24
    assert len([row for row in rows if row[0] == "Q"]) == 9
    assert len([row for row in rows if row[0] == "C"]) == 11
    assert list(faults()) == list(range(1, 38))


def test_every_row_has_a_test_or_a_reason() -> None:
    for row in ids():
        tests = PROOFS.get(row, [])
        assert bool(tests) != (row in MISSING), f"{row}: {tests or 'no test, and no reason'}"


def test_every_row_that_is_done_is_driven_on_both_loops() -> None:
    for row in ids():
        on_loops = [test for test in PROOFS.get(row, []) if test.startswith("parity/test_loopback")]
        if row not in MISSING:
            assert bool(on_loops) != (row in MISSING_ON_LOOPBACK), f"{row}: {on_loops or 'not on loopback'}"


def test_every_row_that_is_done_is_driven_in_virtual_time() -> None:
    for row in ids():
        virtual = [test for test in PROOFS.get(row, []) if not test.startswith("parity/test_loopback")]
        if row not in MISSING:
            assert virtual, f"{row} has no test in virtual time"


def test_every_fault_has_a_test_or_a_reason() -> None:
    for number in faults():
        assert (f"fault{number}" in PROOFS) != (number in MISSING_FAULTS), f"fault {number}"


@pytest.mark.parametrize("rows", [MISSING, MISSING_ON_LOOPBACK], ids=["missing", "missing on loopback"])
def test_reasons_are_for_rows_of_the_sheet(rows: dict[str, str]) -> None:
    assert set(rows) <= set(ids())
    assert all(rows.values())


def test_the_page_has_every_row_and_only_tests_that_exist() -> None:
    assert set(ROWS) == set(ids())
    shown = rows_of(PAGE.read_text(encoding="utf-8"))
    current = rows_of(page())
    assert len(current) == len(ROWS) + len(faults())
    assert shown.keys() == current.keys(), "run: PYTHONPATH=tests:media:transports:. python -m parity.page"
    for row, tests in shown.items():
        assert tests, row
        assert tests <= current[row], f"{row} names tests that are no more: {tests - current[row]}"


def rows_of(text: str) -> dict[str, set[str]]:
    """Of each row: what it says, and the tests that it names."""
    rows = re.findall(r"(?m)^(\| (?:[MAEQC]?[0-9]+) \|(?:.*\|)?) ([^|]*) \|$", text)
    return {row: set(tests.split("<br>")) for row, tests in rows}


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] == "E"])
def test_an_event_is_exported_and_named_as_in_the_reference(row: str) -> None:
    reference, here, _ = ROWS[row]
    kind: Any = getattr(sansio_sip, here.strip("`"))
    assert kind.name == reference
    assert kind.__dataclass_params__.frozen
    assert callable(kind.as_dict)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (sansio_sip.MediaPermission(stream=True), {"status": "success", "stream": True}),
        (
            sansio_sip.MediaPermission(stream=False, error="NotAllowedError"),
            {"status": "failure", "error": "NotAllowedError"},
        ),
        (sansio_sip.Volume(0.5, 0.25), {"inputVolume": "0.500", "outputVolume": "0.250"}),
        (
            sansio_sip.AudioDeviceChange("added", AudioDevice("a", "audioinput", "A", "g").as_dict()),
            {
                "change": "added",
                "device": {"deviceId": "a", "kind": "audioinput", "label": "A", "groupId": "g"},
            },
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_E15_E18_E22_an_event_is_spelled_as_in_the_reference(event: Any, expected: dict[str, object]) -> None:
    assert event.as_dict() == expected


def test_the_package_says_what_it_has_not() -> None:
    with pytest.raises(AttributeError, match="Telephone"):
        sansio_sip.Telephone  # noqa: B018
