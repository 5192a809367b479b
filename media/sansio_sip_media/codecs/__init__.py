"""Codecs of audio: a frame of samples to a payload, and back."""

from .base import Decoder, Encoder
from .factory import CODECS, make_decoder, make_encoder
from .opus import OpusEncoder
from .opus_parameters import FecControl, OpusParameters
from .opus_settings import OpusSettings

__all__ = [
    "CODECS",
    "Decoder",
    "Encoder",
    "FecControl",
    "OpusEncoder",
    "OpusParameters",
    "OpusSettings",
    "make_decoder",
    "make_encoder",
]
