"""Random polygons that provoke a rasteriser: ties on pixel centres and borders, slivers, holes, far outside, huge."""

from __future__ import annotations

import numpy as np
import shapely
import shapely.affinity

from rasteret_sql.geo.grid import Affine, Window

TRANSFORMS = {
    "north-up": Affine(10, 0, 499980, 0, -10, 5300040),
    "south-up": Affine(10, 0, 499980, 0, 10, 5300040),
    "degrees": Affine(0.25, 0, -180, 0, -0.25, 90),
    "anisotropic": Affine(30, 0, 0, 0, -15, 0),
    "rotated": Affine(8, 3, 1000, 2, -9, 2000),
    "transposed": Affine(0, 10, 0, 10, 0, 0),
}
KINDS = ("star", "holed", "multi", "box", "sliver", "random", "huge", "tiny", "convex")


def star(rng: np.random.Generator, vertices: int, x: float, y: float, radius: float) -> np.ndarray:
    angles = np.sort(rng.uniform(0, 2 * np.pi, vertices))
    reach = radius * rng.uniform(0.3, 1, vertices)
    return np.column_stack((x + reach * np.cos(angles), y + reach * np.sin(angles)))


def random_polygon(rng: np.random.Generator, transform: Affine) -> shapely.Geometry:
    """A polygon around pixels 0..60 of an image; half of them with vertices on pixel borders or centres."""
    snap = (lambda c: c, np.round, lambda c: np.round(c * 2) / 2, lambda c: c)[rng.integers(4)]
    x, y = rng.uniform(-10, 70, 2)
    size = 10 ** rng.uniform(-1, 2)
    kind = KINDS[rng.integers(len(KINDS))]
    if kind == "star":
        shape = shapely.Polygon(snap(star(rng, int(rng.integers(3, 25)), x, y, size)))
    elif kind == "holed":
        outer = star(rng, 12, x, y, size)
        shape = shapely.Polygon(snap(outer), [snap((x, y) + (outer - (x, y)) * 0.3)])
    elif kind == "multi":
        stars = [star(rng, 8, *rng.uniform(0, 60, 2), size / 2) for _ in range(rng.integers(1, 6))]
        shape = shapely.MultiPolygon([shapely.Polygon(snap(s)) for s in stars])
    elif kind == "box":
        shape = shapely.box(*snap(np.array([x, y])), *snap(np.array([x + size, y + rng.uniform(0.1, size)])))
    elif kind == "sliver":
        shape = shapely.Polygon(
            snap(np.array([[x, y], [x + size, y + rng.uniform(-size, size)], [x + size, y + 0.01]]))
        )
    elif kind == "random":
        shape = shapely.Polygon(snap(rng.uniform(-20, 80, (int(rng.integers(3, 10)), 2))))
    elif kind == "huge":
        shape = shapely.Polygon(snap(star(rng, 9, x, y, 1e5)))
    elif kind == "tiny":
        shape = shapely.Polygon(star(rng, 5, x, y, 0.3))
    else:
        shape = shapely.convex_hull(shapely.MultiPoint(snap(rng.uniform(0, 60, (8, 2)))))
        shape = shape if shape.geom_type == "Polygon" else shapely.box(1, 1, 2, 2)
    return shapely.affinity.affine_transform(shape, in_crs(transform))


def random_window(rng: np.random.Generator) -> Window:
    return Window(*(int(v) for v in (*rng.integers(0, 20, 2), *rng.integers(1, 60, 2))))


def in_crs(transform: Affine) -> list[float]:
    """The transform in the order that shapely.affinity has."""
    return [transform.a, transform.b, transform.d, transform.e, transform.c, transform.f]
