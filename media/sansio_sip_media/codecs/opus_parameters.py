"""The `fmtp` of Opus (RFC 7587 section 6.1): what one end likes to receive, and how the other encodes for it."""

from dataclasses import dataclass, replace

from .opus_settings import OpusSettings

__all__ = ["FecControl", "OpusParameters"]

# Section 6.1, maxaveragebitrate: "The value MUST be between 6000 and 510000" bits a second.
LOWEST_BITRATE, HIGHEST_BITRATE = 6_000, 510_000

# Section 6.1, maxplaybackrate: 8000 at least.
LOWEST_RATE, HIGHEST_RATE = 8_000, 48_000


@dataclass(frozen=True, slots=True)
class OpusParameters:
    """What one end asks the other for; the defaults are the RFC's.

    Attributes:
        max_average_bitrate: bits a second, None: no wish.
        max_playback_rate: Hz; what lies above half of it is not heard there.
        use_inband_fec: a coarse copy of each packet in the next is welcome.
        use_dtx: silence need not be sent.
        constant_bitrate: all packets should have one size.
    """

    max_average_bitrate: int | None = None
    max_playback_rate: int = HIGHEST_RATE
    use_inband_fec: bool = False
    use_dtx: bool = False
    constant_bitrate: bool = False

    @classmethod
    def parse(cls, text: str) -> "OpusParameters":
        """Reads `NAME=VALUE;...`. What cannot be read, or is out of bounds, is as if it was not there."""
        found: dict[str, str] = {}
        for item in text.split(";"):
            name, _, value = item.partition("=")
            found.setdefault(name.strip().lower(), value.strip())
        return cls(
            max_average_bitrate=_number(found.get("maxaveragebitrate"), LOWEST_BITRATE, HIGHEST_BITRATE),
            max_playback_rate=_number(found.get("maxplaybackrate"), LOWEST_RATE, HIGHEST_RATE) or HIGHEST_RATE,
            use_inband_fec=found.get("useinbandfec") == "1",
            use_dtx=found.get("usedtx") == "1",
            constant_bitrate=found.get("cbr") == "1",
        )

    def settings(self, wish: OpusSettings) -> OpusSettings:
        """How to encode for an end that asks for this, where we would like `wish`."""
        limit = self.max_average_bitrate or HIGHEST_BITRATE
        return replace(
            wish,
            bitrate=max(LOWEST_BITRATE, min(wish.bitrate, limit)),
            expected_loss=wish.expected_loss if self.use_inband_fec else 0,
            dtx=wish.dtx or self.use_dtx,
            playback_rate=min(wish.playback_rate, self.max_playback_rate),
            constant_bitrate=wish.constant_bitrate or self.constant_bitrate,
        )


def _number(text: str | None, lowest: int, highest: int) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 8:
        return None
    return int(text) if lowest <= int(text) <= highest else None


class FecControl:
    """How much loss the encoder should reckon with, from the loss that the far end reports.

    In-band FEC takes bits from the voice, so it is on only while packets are lost. It comes on with the first report
    of 2 % or more, and goes once a falling mean is below 1 %: losses come in bunches, and the next is likely.
    """

    ON, OFF = 0.02, 0.01

    # Share of the last estimate that a report of less leaves: a clean minute, 12 reports, brings 30 % below 1 %.
    MEMORY = 0.75

    # Beyond it the copies would crowd out the voice.
    HIGHEST = 0.30

    def __init__(self) -> None:
        self._loss = 0.0
        self._on = False

    def report(self, fraction_lost: float) -> int:
        """Takes the share lost of the last interval, 0.0 to 1.0; gives per cent to reckon with, 0: no FEC."""
        self._loss = max(min(fraction_lost, self.HIGHEST), self.MEMORY * self._loss)
        self._on = self._loss >= (self.OFF if self._on else self.ON)
        return max(1, round(100 * self._loss)) if self._on else 0
