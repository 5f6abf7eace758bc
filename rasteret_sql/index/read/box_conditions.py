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
    left, right = struct_field("bbox", "xmin"), struct_field("bbox", "xmax")
    across = [
        exp.and_(exp.LTE(this=left, expression=_number(last)), exp.GTE(this=right, expression=_number(first)))
        for last, first in longitude_limits(west, east)
    ]
    return exp.and_(
        exp.LTE(this=struct_field("bbox", "ymin"), expression=_number(north)),
        exp.GTE(this=struct_field("bbox", "ymax"), expression=_number(south)),
        exp.paren(exp.or_(*across, exp.GT(this=left, expression=right))),
    )


def unclear_box() -> exp.Expression:
    """SQL: scenes whose box does not say where they are, as `lonlat_boxes.are_unclear`."""
    left, right = struct_field("bbox", "xmin"), struct_field("bbox", "xmax")
    wide = exp.GTE(this=exp.Sub(this=right, expression=left), expression=_number(UNCLEAR))
    return exp.paren(exp.or_(exp.GT(this=left, expression=right), wide))


def _number(value: float) -> exp.Expression:
    return exp.Literal.number(repr(float(value)))
