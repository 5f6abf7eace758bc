"""Build a collection of Landsat scenes and read red and near infrared into xarray: NDVI of an area, day by day.

    AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... python examples/landsat_xarray.py --requester-pays

reads Landsat Collection 2 through Earth Search. Its bucket, usgs-landsat, bills the reader: that requests say so, and
to which region they go, is registered with the dataset. Without the flag the small Landsat scenes of examples/data are
read, which takes neither network nor credentials.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import rasteret_sql

CATALOG = Path(__file__).parent / "data" / "catalog" / "catalog.json"
Area = tuple[float, float, float, float]


def requester_pays() -> tuple[rasteret_sql.Collection, Area]:
    """Scenes of San Francisco, and an area in them; credentials are those of the environment, a profile or a role."""
    collection = rasteret_sql.build(
        "earthsearch/landsat-c2-l2",
        name="landsat-aws",
        bbox=(-122.5, 37.7, -122.3, 37.9),
        date_range=("2024-06-01", "2024-06-30"),
    )
    return collection, (-122.45, 37.75, -122.35, 37.85)


def replica() -> tuple[rasteret_sql.Collection, Area]:
    """Scenes of New York from the project's own data, whose pixels are 2.6 km wide; the bands have the same names."""
    collection = rasteret_sql.build_from_stac(
        name="landsat-ny",
        stac_api=CATALOG,
        collection="landsat8-ny-2018",
        bbox=(-74.0, 40.0, -73.6, 40.6),
        date_range=("2018-04-01", "2018-06-30"),
        band_map={"B4": "red", "B5": "nir08"},
    )
    return collection, (-74.6, 40.2, -74.2, 40.5)


def main() -> None:
    parser = argparse.ArgumentParser(description="NDVI of Landsat scenes")
    parser.add_argument("--requester-pays", action="store_true", help="read usgs-landsat with your AWS credentials")
    collection, area = requester_pays() if parser.parse_args().requester_pays else replica()
    print(f"{len(collection)} scenes, bands {', '.join(collection.bands)}")

    ds = collection.get_xarray(geometries=area, bands=["B4", "B5"])  # time, geometry, y, x; all scenes on one grid
    red, nir = ds["B4"].astype("float64"), ds["B5"].astype("float64")
    seen = red + nir > 0
    ndvi = ((nir - red) / (nir + red)).where(seen)
    for time in ds["time"].values:
        day = ndvi.sel(time=time)
        print(f"{np.datetime_as_string(time, 'D')}: pixels {day.shape}, NDVI {float(day.mean()):.3f} on average")


if __name__ == "__main__":
    main()
