"""Where the lines of the machines go: the logger `sansio_sip`, or its child that has a client's name."""

import logging

from sansio_sip.softphone.events import LogLine

__all__ = ["log"]

LOGGER = logging.getLogger("sansio_sip")


def log(line: LogLine) -> None:
    """Hands a line to its logger; the record has `identifier` and `call` besides, for a format that shows them."""
    logger = LOGGER.getChild(line.identifier) if line.identifier else LOGGER
    text = f"[{line.call}] {line.text}" if line.call else line.text
    logger.log(line.level, "%s", text, extra={"identifier": line.identifier, "call": line.call})
