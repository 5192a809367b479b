"""Arrays as rows of a trace: how `sansio_sip.trace` writes one is undone here, for the core knows no numpy."""

import base64
import binascii
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sansio_sip.errors import ParseError

__all__ = ["rebuild_array"]

# What crosses a machine's boundary: samples, and counts beside them. Anything else in a trace is not ours.
TYPES = frozenset({"int16", "int32", "int64", "float32", "float64", "uint8", "bool"})

# Elements; a minute of stereo at 48 kHz is a tenth of it.
MAX_ELEMENTS = 1 << 26


def rebuild_array(row: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The array of a row `{"array": dtype, "shape": [...], "data": base64}`; zeros where there is no `data`.

    A trace of signalling leaves the data out. Raises ParseError.
    """
    try:
        kind, shape = row["array"], tuple(int(size) for size in row["shape"])
        if kind not in TYPES:
            raise ParseError(f"an array of {kind!r} has no place in a trace")
        if any(size < 0 for size in shape) or prod(shape) > MAX_ELEMENTS:
            raise ParseError(f"an array of shape {shape} has no place in a trace")
        data = row.get("data")
        if data is None:
            return np.zeros(shape, dtype=kind)
        # A copy: what `frombuffer` gives cannot be written to.
        return np.frombuffer(base64.b64decode(data, validate=True), dtype=kind).reshape(shape).copy()
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ParseError(f"the row of an array cannot be read: {error}") from None
