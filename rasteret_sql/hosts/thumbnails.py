"""Writes the SQL of small pictures of a collection's scenes."""

from __future__ import annotations

from collections.abc import Sequence

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.quoting import quote_text


def thumbnails_sql(bands: Sequence[str], scenes: int, size: int) -> str:
    """Select the newest scenes of the table `scenes`, each with a chip of the whole image.

    Args:
        bands: of the chips.
        scenes: how many.
        size: longer side of a chip in pixels; the other is as much shorter as the box of the scene is on the ground.

    Raises:
        InvalidArgumentError: a number is none of a picture.
    """
    for name, value, most in (("scenes", scenes, 1000), ("size", size, 2000)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise InvalidArgumentError(f"{name}={value!r} cannot be used; give a whole number from 1 to {most}")
    names = ", ".join(quote_text(band) for band in bands)
    return f"""
        SELECT id, datetime, read_chip(id, [{names}], geometry, clip := false, resampling := 'average', shape :=
            CASE WHEN wide > 1 THEN [greatest(1, round({size} / wide)::INTEGER), {size}]
                 ELSE [{size}, greatest(1, round({size} * wide)::INTEGER)] END) AS picture
        FROM (
            SELECT id, datetime, geometry,
                (bbox.xmax - bbox.xmin + CASE WHEN bbox.xmin > bbox.xmax THEN 360 ELSE 0 END)
                * cos(radians((bbox.ymin + bbox.ymax) / 2)) / greatest(bbox.ymax - bbox.ymin, 1e-9) AS wide
            FROM scenes WHERE geometry IS NOT NULL ORDER BY datetime DESC NULLS LAST, id LIMIT {scenes}
        ) ORDER BY datetime DESC NULLS LAST, id
    """  # noqa: S608 - names are quoted
