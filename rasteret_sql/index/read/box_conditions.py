"""Rules scenes out by the sides of their boxes, in SQL over an index, before footprints are looked at."""

from __future__ import annotations

from sqlglot import exp

from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import UNCLEAR, longitude_limits
from rasteret_sql.index.read.scene_scan import struct_field


def near_box(box: Bounds) -> exp.Expression:
    """SQL: scenes whose box meets `box`, touching counts, and those whose box does not say where they are.

    These are the boxes of footprints across the antimeridian, and those wider than half the globe; their footprints
    decide (`unclear_box`, and `geo.footprints`).

    Args:
        box: in lon/lat, in whichever turn; its east may lie beyond 180.
    """
    west, south, east, north = box
    # Copies of what is made here only would take most of the time.
    across = [
        exp.and_(
            exp.LTE(this=_side("xmin"), expression=_number(last)),
            exp.GTE(this=_side("xmax"), expression=_number(first)),
            copy=False,
        )
        for last, first in longitude_limits(west, east)
    ]
    return exp.and_(
        exp.LTE(this=_side("ymin"), expression=_number(north)),
        exp.GTE(this=_side("ymax"), expression=_number(south)),
        exp.paren(exp.or_(*across, exp.GT(this=_side("xmin"), expression=_side("xmax")), copy=False), copy=False),
        copy=False,
    )


def unclear_box() -> exp.Expression:
    """SQL: scenes whose box does not say where they are, as `lonlat_boxes.are_unclear`."""
    wide = exp.GTE(this=exp.Sub(this=_side("xmax"), expression=_side("xmin")), expression=_number(UNCLEAR))
    return exp.paren(exp.or_(exp.GT(this=_side("xmin"), expression=_side("xmax")), wide))


def _side(name: str) -> exp.Expression:
    return struct_field("bbox", name)


def _number(value: float) -> exp.Expression:
    return exp.Literal.number(repr(float(value)))
