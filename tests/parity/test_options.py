"""Each option of the reference has a row in the documentation that says what stands for it here."""

import dataclasses
import re
from pathlib import Path
from random import Random

import pytest
from shared import require_shared

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.softphone import Client, MediaProfile, Options
from sansio_sip.softphone.media_plane import MediaOptions
from sansio_sip_media.engine import MediaEngine

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in TABLE.read_text().splitlines()
    if re.match(r"\| O[0-9]{2} ", line)
]
GOOD = {"domain": "example.com", "servers": ("wss://pbx.example.com",)}


def test_O01_every_option_of_the_reference_has_a_row() -> None:
    text = require_shared("reference/browser-sdk-facts.md").read_text()
    section = text[text.index("## 1. Constructor options") : text.index("## 2.")]
    named: set[str] = set()
    for line in section.splitlines():
        found = re.match(r"\| ([a-zA-Z0-9, ]+?)(?: \[BETA\])? \|", line)
        if found is not None and found[1] != "Option":
            named |= {name.strip() for name in found[1].split(",")}
    assert named == {row[1] for row in ROWS}
    assert [row[0] for row in ROWS] == [f"O{number:02}" for number in range(1, len(ROWS) + 1)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_O_a_row_names_a_field_or_a_reason(row: list[str]) -> None:
    _, _, state, here, why = row
    fields = {field.name for field in dataclasses.fields(Options)}
    media = {f"MediaOptions.{field.name}" for field in dataclasses.fields(MediaOptions)}
    if state in ("kept", "mapped"):
        assert here.strip("`") in fields | media
    else:
        assert state in ("page", "open")
        assert why


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("codecs", ()),
        ("codecs", ("opus", "speex")),
        ("debug", "LOUD"),
        ("enable_quality_tracking", "SOME"),
        ("servers", ()),
        ("servers", ("ftp://x",)),
        ("registration_refresh_timer", 59),
        ("registration_refresh_timer", 86_401),
        ("feedback_url", "mailto:a@b"),
        ("domain", "a b"),
        ("login_timeout", 0),
        ("recovery_timeout", 0),
        ("profiles", ()),
        ("display_name", "a\r\nb"),
        ("stun_servers", ("http://x",)),
    ],
)
def test_a_bad_value_names_its_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Options(**{**GOOD, field: value})  # type: ignore[arg-type]


def test_names_are_taken_in_upper_and_in_lower_case() -> None:
    options = Options(
        **GOOD,  # type: ignore[arg-type]
        codecs=("OPUS", "PCMU"),
        debug="error",
        enable_quality_tracking="none",
        dtmf_options=("inband",),
    )
    client = Client(Context(Entropy(Random(1))), MediaEngine(Context(Entropy(Random(1))), None), options)
    assert client._log_book.level == 40
    assert client._tells_metrics is False
    assert options.account("alice", Secret("x")).in_band_dtmf


def test_fault7_options_cannot_be_changed() -> None:
    options = Options(**GOOD, profiles=(MediaProfile.RTP,))  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.debug = "ALL"  # type: ignore[misc]
    assert options.account("alice", Secret("x")).servers == GOOD["servers"]
