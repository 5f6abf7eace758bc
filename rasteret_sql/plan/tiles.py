"""From a window to the stored tiles under it."""

from __future__ import annotations

from typing import NamedTuple

from rasteret_sql.types import Window


class TilePart(NamedTuple):
    """What a window takes from one tile: `tile[tile_rows, tile_cols]` goes to `window[rows, cols]`."""

    tile: int
    """Position in the level's tile table."""
    tile_rows: slice
    tile_cols: slice
    rows: slice
    cols: slice


def tiles_under(window: Window, tile_width: int, tile_height: int, tiles_across: int) -> list[TilePart]:
    """The tiles that a window needs, row-major, each with the part that it gives.

    Args:
        window: inside the image.
        tile_width: pixels across a tile.
        tile_height: pixels down a tile.
        tiles_across: tiles in a row of the tile table.
    """
    parts = []
    for tile_row in range(window.row_off // tile_height, -(-window.row_end // tile_height)):
        top = tile_row * tile_height
        row, row_end = max(window.row_off, top), min(window.row_end, top + tile_height)
        tile_rows, rows = slice(row - top, row_end - top), slice(row - window.row_off, row_end - window.row_off)
        for tile_col in range(window.col_off // tile_width, -(-window.col_end // tile_width)):
            left = tile_col * tile_width
            col, col_end = max(window.col_off, left), min(window.col_end, left + tile_width)
            parts.append(
                TilePart(
                    tile_row * tiles_across + tile_col,
                    tile_rows,
                    slice(col - left, col_end - left),
                    rows,
                    slice(col - window.col_off, col_end - window.col_off),
                )
            )
    return parts
