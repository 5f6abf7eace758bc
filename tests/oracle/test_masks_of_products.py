"""Masks in words on Landsat's own files, against the bit fields that its STAC items describe."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

import rasteret_sql
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.products.masks import mask_condition

LANDSAT = Path(__file__).parents[1] / "products" / "landsat"
BITS = json.loads((LANDSAT / "bitfields.json").read_text("utf-8"))
FIELDS = {
    "clouds": {"cloud": "cloud", "cirrus": "cirrus", "dilated_cloud": "dilated"},
    "shadows": {"cloud_shadow": "shadow"},
    "snow": {"snow": "snow"},
    "water": {"water": "water"},
    "nodata": {"fill": "fill"},
}
"""Kind → bit field → name of its value that is of this kind."""


def told(band, fields, values):
    """True where a bit field of a band says one of some names."""
    found = np.zeros(values.shape, bool)
    for one in BITS[band]:
        if one["name"] in fields:
            said = next(each["value"] for each in one["classes"] if each["name"] == fields[one["name"]])
            found |= (values >> one["offset"]) % (1 << one["length"]) == said
    return found


@pytest.mark.parametrize(
    ("band", "kind", "fields"),
    [
        *(("qa_pixel", kind, fields) for kind, fields in FIELDS.items()),
        ("qa_radsat", "saturated", {f"band{n}": "saturated" for n in range(1, 10)}),
        ("qa_aerosol", "aerosols", {"level": "high"}),
        ("qa_aerosol", "water", {"water": "water"}),
        ("qa_aerosol", "nodata", {"fill": "fill"}),
    ],
)
def test_every_value_that_there_can_be(band, kind, fields):
    values = np.arange(1 << (8 if band == "qa_aerosol" else 16), dtype="uint16")
    made = Computation.of(mask_condition([kind], "landsat-c2-l2", [band], "it"), {band: values.dtype})
    assert np.array_equal(made.true({band: (values, None)}), told(band, fields, values))


def test_recorded_files(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        build = (
            "rasteret_build_from_files($1, name := 'quality', bands := ['qa_pixel'], data_source := 'landsat-c2-l2')"
        )
        con.execute(f"FROM {build}", [str(LANDSAT)])
        ids = [row[0] for row in con.execute("SELECT id FROM rasteret.quality ORDER BY id").fetchall()]
        assert len(ids) == 2
        seen = {}
        for scene in ids:
            with rasterio.open(LANDSAT / f"{scene}.tif") as file:
                values = file.read(1)
            for kind, fields in FIELDS.items():
                masked = told("qa_pixel", fields, values)
                count, chip = con.execute(
                    "SELECT zonal_stat($1, 'qa_pixel', '(whole image)', 'count', mask := $2), "
                    "read_chip($1, 'qa_pixel', mask := $2)",
                    [scene, kind],
                ).fetchone()
                assert count == values.size - masked.sum()
                assert np.array_equal(rasteret_sql.to_numpy(chip)[1][0], ~masked)
                seen[kind] = seen.get(kind, 0) + int(masked.sum())
            # Bit 6, "clear", is set on snow and shadow: who keeps what has it keeps these.
            clear = told("qa_pixel", {"clear": "clear"}, values)
            assert (clear & told("qa_pixel", FIELDS["shadows"], values)).sum() > 2000
        assert min(seen.values()) > 50  # each kind is there
