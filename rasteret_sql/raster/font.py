"""A bitmap font of 5 × 7 pixels for labels on pictures: digits, signs and capitals, which small letters become."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt

GLYPH_WIDTH, GLYPH_HEIGHT, ADVANCE = 5, 7, 6
"""Pixels; letters stand `ADVANCE` apart."""

# Seven rows from the top, five pixels each as a hexadecimal number, leftmost pixel highest.
_ROWS = MappingProxyType(
    {
        "0": "0e 11 13 15 19 11 0e",
        "1": "04 0c 04 04 04 04 0e",
        "2": "0e 11 01 02 04 08 1f",
        "3": "1f 02 04 02 01 11 0e",
        "4": "02 06 0a 12 1f 02 02",
        "5": "1f 10 1e 01 01 11 0e",
        "6": "06 08 10 1e 11 11 0e",
        "7": "1f 01 02 04 08 08 08",
        "8": "0e 11 11 0e 11 11 0e",
        "9": "0e 11 11 0f 01 02 0c",
        "A": "0e 11 11 1f 11 11 11",
        "B": "1e 11 11 1e 11 11 1e",
        "C": "0e 11 10 10 10 11 0e",
        "D": "1c 12 11 11 11 12 1c",
        "E": "1f 10 10 1e 10 10 1f",
        "F": "1f 10 10 1e 10 10 10",
        "G": "0e 11 10 17 11 11 0f",
        "H": "11 11 11 1f 11 11 11",
        "I": "0e 04 04 04 04 04 0e",
        "J": "07 02 02 02 02 12 0c",
        "K": "11 12 14 18 14 12 11",
        "L": "10 10 10 10 10 10 1f",
        "M": "11 1b 15 15 11 11 11",
        "N": "11 19 15 13 11 11 11",
        "O": "0e 11 11 11 11 11 0e",
        "P": "1e 11 11 1e 10 10 10",
        "Q": "0e 11 11 11 15 12 0d",
        "R": "1e 11 11 1e 14 12 11",
        "S": "0f 10 10 0e 01 01 1e",
        "T": "1f 04 04 04 04 04 04",
        "U": "11 11 11 11 11 11 0e",
        "V": "11 11 11 11 11 0a 04",
        "W": "11 11 11 15 15 1b 11",
        "X": "11 11 0a 04 0a 11 11",
        "Y": "11 11 0a 04 04 04 04",
        "Z": "1f 01 02 04 08 10 1f",
        " ": "00 00 00 00 00 00 00",
        "-": "00 00 00 1f 00 00 00",
        "_": "00 00 00 00 00 00 1f",
        ".": "00 00 00 00 00 0c 0c",
        ",": "00 00 00 00 0c 04 08",
        ":": "00 0c 0c 00 0c 0c 00",
        "/": "01 01 02 04 08 10 10",
        "%": "18 19 02 04 08 13 03",
        "+": "00 04 04 1f 04 04 00",
        "=": "00 00 1f 00 1f 00 00",
        "(": "02 04 08 08 08 04 02",
        ")": "08 04 02 02 02 04 08",
        "<": "02 04 08 10 08 04 02",
        ">": "08 04 02 01 02 04 08",
        "*": "00 15 0e 1f 0e 15 00",
        "#": "0a 0a 1f 0a 1f 0a 0a",
        "?": "0e 11 01 02 04 00 04",
    }
)


def draw_text(text: str, width: int) -> npt.NDArray[np.bool_]:
    """Draw one line of text.

    Args:
        text: what to draw; signs the font lacks become `?`.
        width: pixels there are; what does not fit is left out.

    Returns:
        Shape (7, width); True = ink.
    """
    canvas = np.zeros((GLYPH_HEIGHT, width), dtype=np.bool_)
    for i, sign in enumerate(text.upper()[: (width + 1) // ADVANCE]):
        rows = np.array([int(row, 16) for row in _ROWS.get(sign, _ROWS["?"]).split()])
        glyph = (rows[:, None] >> np.arange(GLYPH_WIDTH - 1, -1, -1)) & 1
        canvas[:, i * ADVANCE : i * ADVANCE + GLYPH_WIDTH] = glyph
    return canvas
