"""Which codecs there are."""

from sansio_sip.context import Context

from .base import Decoder, Encoder
from .g711 import LAWS, G711Decoder, G711Encoder
from .g722 import G722Decoder, G722Encoder
from .opus import OpusDecoder, OpusEncoder
from .opus_settings import OpusSettings

__all__ = ["CODECS", "make_decoder", "make_encoder"]

# Names as in SDP, lower case.
CODECS = ("opus", "g722", *LAWS)


def make_encoder(name: str, context: Context, settings: OpusSettings | None = None) -> Encoder:
    """An encoder by its name in SDP, in any case; `settings` concern Opus. Raises ValueError for an unknown name."""
    match name.lower():
        case "opus":
            return OpusEncoder(context, settings)
        case "g722":
            return G722Encoder(context)
        case law if law in LAWS:
            return G711Encoder(law)
    raise ValueError(f"there is no codec {name!r}; there are {', '.join(CODECS)}")


def make_decoder(name: str, context: Context) -> Decoder:
    """A decoder by its name in SDP, in any case. Raises ValueError for an unknown name."""
    match name.lower():
        case "opus":
            return OpusDecoder(context)
        case "g722":
            return G722Decoder(context)
        case law if law in LAWS:
            return G711Decoder(law)
    raise ValueError(f"there is no codec {name!r}; there are {', '.join(CODECS)}")
