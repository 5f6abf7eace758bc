"""Unpacks samples that do not fill whole machine words: 1 to 31 bit integers and 24 bit floats."""

from __future__ import annotations

from typing import Literal

import imagecodecs
import numpy as np
import numpy.typing as npt

Order = Literal["<", ">"]


def unpack_bits(
    rows: npt.NDArray[np.uint8], bits: int, per_row: int, dtype: np.dtype, byte_order: Order
) -> npt.NDArray[np.generic]:
    """Unpack rows of samples, each row starting at a whole byte, highest bit first.

    Args:
        rows: Stored bytes, shape (rows, bytes of a row).
        bits: Bits per sample.
        per_row: Samples in a row.
        dtype: Unsigned type to unpack into.
        byte_order: `<` or `>`; only 24 bit samples have one, being whole bytes.

    Returns:
        Shape (rows, per_row).
    """
    count = len(rows)
    if bits == 24:
        # As GDAL has it: highest byte first as for all packed samples, but swapped as a word in big-endian files.
        parts = rows.reshape(count, per_row, 3)
        high, low = (0, 2) if byte_order == "<" else (2, 0)
        value = parts[..., high].astype(dtype)
        for at in (1, low):
            value <<= np.array(8, dtype)
            value |= parts[..., at]
        return value
    if bits == 1:
        return np.unpackbits(rows, axis=1, count=per_row).astype(dtype, copy=False)
    unpacked = imagecodecs.packints_decode(np.ascontiguousarray(rows).reshape(-1), dtype, bits, runlen=per_row)
    return np.asarray(unpacked, dtype).reshape(count, per_row)


def unpack_float24(raw: npt.NDArray[np.uint8], byte_order: Order) -> npt.NDArray[np.float32]:
    """Unpack floats of 1 sign, 7 exponent and 16 mantissa bits; shape (3n,) → (n,)."""
    decoded = imagecodecs.float24_decode(np.ascontiguousarray(raw), byteorder=byte_order)
    return np.asarray(decoded, np.float32).reshape(-1)
