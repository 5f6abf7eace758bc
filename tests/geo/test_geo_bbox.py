"""A search box in every form, and why a wrong one is wrong."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
import shapely

from rasteret_sql.errors import InvalidArgumentError, InvalidGeometryError
from rasteret_sql.geo.bbox import parse_bbox

BOX = (9.0, 47.5, 10.25, 48.0)


@pytest.mark.parametrize(
    "given",
    [
        list(BOX),
        BOX,
        np.array(BOX),
        [Decimal("9.0"), Decimal("47.5"), Decimal("10.25"), Decimal("48.0")],
        "[9.0, 47.5, 10.25, 48.0]",
        shapely.box(*BOX),
        shapely.box(*BOX).wkt,
        shapely.box(*BOX).wkb,
        shapely.geometry.mapping(shapely.box(*BOX)),
        {"xmin": 9.0, "ymin": 47.5, "xmax": 10.25, "ymax": 48.0},
    ],
)
def test_every_form(given: object) -> None:
    assert parse_bbox(given) == BOX


def test_the_whole_world() -> None:
    assert parse_bbox([-180, -90, 180, 90]) == (-180, -90, 180, 90)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2, 3], "4 numbers, not 3"),
        ([1, 2, 3, 4, 5, 6], "4 numbers, not 6"),
        ([10, 2, 9, 4], r"west 10 not less than east 9"),
        ([1, 4, 2, 3], "south 4 not less than north 3"),
        ([500000, 5200000, 500100, 5200100], "outside longitude"),
        ([1, None, 2, 3], "south is None"),
        (["1", 2, 2, 3], "west is '1'"),
        ([1, 2, float("nan"), 3], "east is nan"),
        ("[1, 2", "no list of numbers"),
        (shapely.Point(1, 2), "west 1 not less than east 1"),
    ],
)
def test_wrong_boxes(given: object, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        parse_bbox(given)


@pytest.mark.parametrize("given", ["garbage", "POLYGON EMPTY", None, 7])
def test_wrong_geometries(given: object) -> None:
    with pytest.raises(InvalidGeometryError):
        parse_bbox(given)
