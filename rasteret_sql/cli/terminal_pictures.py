"""Draws chips in a terminal: as pictures where it can show them, elsewhere as half blocks of two pixels each."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.chip_picture import draw_small
from rasteret_sql.reading.chip_column import Chip

PICTURE = 200
"""Most pixels of a picture's longer side."""
BLOCKS = 48
"""Most half blocks of it."""
_CHUNK = 4096
"""Characters of base64 that kitty takes at once."""
_SHADES = " ░▒▓█"


def drawn(chip: Chip, *, is_terminal: bool, variables: Mapping[str, str] = os.environ) -> str:
    """The text that shows a chip.

    Args:
        chip: Pixels.
        is_terminal: False: shades of grey, without codes of a terminal.
        variables: Of the environment, which say what the terminal can show.
    """
    protocol = _protocol(variables) if is_terminal else ""
    if protocol:
        data = base64.b64encode(draw_small(chip.data, chip.valid, PICTURE)).decode()
        return _kitty(data) if protocol == "kitty" else _iterm(data)
    image = _rgba(draw_small(chip.data, chip.valid, BLOCKS))
    if not is_terminal or "NO_COLOR" in variables:
        return _shaded(image)
    return _half_blocks(image)


def _protocol(variables: Mapping[str, str]) -> str:
    """The protocol of pictures that the terminal has; none inside of tmux and screen, which swallow it."""
    if variables.get("TMUX") or variables.get("TERM", "").startswith("screen"):
        return ""
    program, term = variables.get("TERM_PROGRAM", ""), variables.get("TERM", "")
    if variables.get("KITTY_WINDOW_ID") or "kitty" in term or "ghostty" in (program.lower(), term.lower()):
        return "kitty"
    return "iterm" if program in {"iTerm.app", "WezTerm", "vscode"} else ""


def _kitty(data: str) -> str:
    """A PNG by the graphics protocol of kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/."""
    parts = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    text = ""
    for number, part in enumerate(parts):
        head = "a=T,f=100," if number == 0 else ""
        text += f"\x1b_G{head}m={int(number < len(parts) - 1)};{part}\x1b\\"
    return text + "\n"


def _iterm(data: str) -> str:
    """A PNG as iTerm2 takes it: https://iterm2.com/documentation-images.html."""
    return f"\x1b]1337;File=inline=1:{data}\x07\n"


def _rgba(png: bytes) -> npt.NDArray[np.uint8]:
    """Pixels of a PNG, shape (height, width, 4)."""
    image = np.asarray(imagecodecs.png_decode(png))
    grey = image[..., None] if image.ndim == 2 else image
    colours = grey[..., :1].repeat(3, axis=-1) if grey.shape[-1] <= 2 else grey[..., :3]
    alpha = grey[..., -1:] if grey.shape[-1] in {2, 4} else np.full_like(grey[..., :1], 255)
    return np.concatenate((colours, alpha), axis=-1).astype(np.uint8)


def _half_blocks(image: npt.NDArray[np.uint8]) -> str:
    """Two rows of pixels a line, in 24-bit colours; pixels that are not valid leave the screen as it is."""
    if len(image) % 2:
        image = np.concatenate((image, np.zeros_like(image[:1])))
    lines = []
    for upper, lower in zip(image[::2], image[1::2], strict=True):
        line = ""
        for (r, g, b, a), (r2, g2, b2, a2) in zip(upper.tolist(), lower.tolist(), strict=True):
            top, below = f"38;2;{r};{g};{b}", f"48;2;{r2};{g2};{b2}"
            if a and a2:
                line += f"\x1b[{top};{below}m▀"
            elif a:
                line += f"\x1b[0;{top}m▀"
            elif a2:
                line += f"\x1b[0;38;2;{r2};{g2};{b2}m▄"
            else:
                line += "\x1b[0m "
        lines.append(f"{line}\x1b[0m\n")
    return "".join(lines)


def _shaded(image: npt.NDArray[np.uint8]) -> str:
    """A character for two rows of pixels, by their brightness; a blank where none is valid."""
    if len(image) % 2:
        image = np.concatenate((image, image[-1:]))
    light = image[..., :3].mean(axis=-1) * (image[..., 3] > 0)
    pairs = light.reshape(-1, 2, image.shape[1]).mean(axis=1)
    levels = np.minimum((pairs / 256 * len(_SHADES)).astype(int), len(_SHADES) - 1)
    return "".join(f"{''.join(_SHADES[level] for level in row).rstrip()}\n" for row in levels.tolist())
