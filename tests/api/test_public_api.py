"""What programs may rely on changes on purpose only."""

from api.public_api import PINNED, described


def test_the_public_api_is_the_one_that_is_written_down() -> None:
    assert described() == PINNED.read_text(encoding="utf-8"), (
        "if it is meant: python -m api.public_api, and CHANGELOG.md"
    )
