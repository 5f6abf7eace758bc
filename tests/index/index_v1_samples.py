"""What `index_v1` holds: written by the program of commit 3ee588c, index version 1. Its tables need no generator."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from index_samples import header, level, scene

from rasteret_sql.types import Affine

COLLECTION = "bay_x-y_stac"


def tables(number: int, *, step: int = 8, backwards: bool = False) -> dict:
    """Offsets and byte counts of so many tiles, by arithmetic."""
    counts = np.arange(number, dtype=np.uint64) * np.uint64(7919) % np.uint64(100_003) + np.uint64(1)
    ends = np.cumsum(counts + np.uint64(step))
    offsets = np.uint64(16) + ends - counts - np.uint64(step)
    return {"offsets": offsets[::-1].copy() if backwards else offsets, "byte_counts": counts}


def headers() -> dict:
    """Headers of many kinds."""
    chunky = level(samples=4, extra_samples=(2,), dtype=np.dtype("uint8"), bits=8, photometric=2, **tables(12, step=0))
    mask = level(bits=1, dtype=np.dtype("uint8"), **tables(12, step=3))
    jpeg = level(compression=7, photometric=6, jpeg_tables=b"\xff\xd8\x00\xff\xd9", subsampling=(2, 2), **tables(12))
    sparse = tables(12)
    sparse["offsets"][::3] = sparse["byte_counts"][::3] = 0
    return {
        "plain": header(level(**tables(12))),
        "overviews": header(level(**tables(12)), level(50, 40, **tables(4)), level(25, 20, **tables(1))),
        "backwards": header(level(**tables(12, backwards=True))),
        "sparse": header(level(**sparse)),
        "huge": header(
            level(64, 32, offsets=np.array([2**64 - 1, 3], np.uint64), byte_counts=np.array([2**63, 2**40], np.uint64))
        ),
        "alpha": header(chunky, masks=(chunky,), mask_sample=3, sample=2),
        "internal mask": header(level(**tables(12)), masks=(mask,), internal_mask=True),
        "jpeg": header(jpeg, nodata=None),
        "rotated": header(level(**tables(12)), transform=Affine(7.0, -7.0, 500000.0, 7.0, 7.0, 5400000.0)),
        "no place": header(level(**tables(12)), transform=None, crs=None, nodata=float("nan"), scale=0.1, offset=-1.0),
        "text": header(level(**tables(12)), crs='PROJCRS["Größe"]', nodata=2**64 - 1, description='say "red"\n'),
    }


def rows() -> list:
    """Two scenes, one of which lacks a band, and one a datetime."""
    all_of_them = headers()
    return [
        scene(
            "a", datetime(2024, 1, 10, 10), bands={"B04": all_of_them["internal mask"]}, problems={"B08": "not there"}
        ),
        scene("b", None, bands={"B04": all_of_them["plain"], "B08": all_of_them["overviews"]}),
    ]
