"""Promises D1 to D42: the registration guide's snippets as they stand; its fields stand in tests/catalog."""

from __future__ import annotations

import numpy as np

import rasteret_sql as rasteret
from rasteret_sql import DatasetDescriptor, DatasetRegistry
from tests.promises.conftest import area


def test_d1_d2_d3_quick_start_in_both_languages(site, home):
    descriptor = DatasetDescriptor(
        id="acme/field-survey-2024",
        name="ACME Field Survey 2024",
        description="High-res drone imagery, 10cm, agricultural fields",
        stac_api=site.url,
        stac_collection="field-survey-2024",
        band_map={
            "R": "red",
            "G": "green",
            "B": "blue",
            "NIR": "nir",
        },
        spatial_coverage="regional",
        temporal_range=("2024-01-01", "2024-12-31"),
        license="proprietary",
    )
    rasteret.register(descriptor)
    collection = rasteret.build(
        "acme/field-survey-2024",
        name="field-001",
        bbox=(11.3, 48.1, 11.5, 48.3),
        date_range=("2024-06-01", "2024-08-31"),
    )
    assert (collection.bands, len(collection)) == (["R", "G", "B", "NIR"], 1)
    assert np.unique(collection.get_numpy(area("field"), ["NIR"])).tolist() == [site.value("field", "nir")]
    with rasteret.connect() as con:
        means = con.execute(
            "SELECT zonal_stats(id, 'NIR', geometry).mean FROM rasteret_build('acme/field-survey-2024', name := 'sql', "
            "bbox := [11.3, 48.1, 11.5, 48.3], date_range := ['2024-06-01', '2024-08-31'])"
        ).fetchall()
    assert means == [(site.value("field", "nir"),)]


def test_d29_d30_d31_a_private_api(site, home):
    """As printed, with a backend of the local files in the place of the bucket's."""
    descriptor = DatasetDescriptor(
        id="mycompany/internal-imagery",
        name="Internal High-Res Imagery",
        description="Proprietary 1m imagery, internal use only",
        stac_api=site.url,
        stac_collection="internal-2024",
        band_map={
            "R": "red",
            "G": "green",
            "B": "blue",
        },
        spatial_coverage="regional",
        temporal_range=("2024-01-01", "present"),
        requires_auth=True,
        license="proprietary",
        commercial_use=False,
    )
    rasteret.register(descriptor)
    from tests.promises.test_promises_c import Counting

    backend = Counting()
    collection = rasteret.build(
        "mycompany/internal-imagery",
        name="project-x",
        bbox=(-77.1, 38.8, -76.9, 39.0),
        date_range=("2024-06-01", "2024-08-31"),
        backend=backend,
    )
    assert (len(collection), len(backend.read)) == (1, 3)


def test_d27_d28_bands_of_one_file(site, home):
    DatasetRegistry.register(
        DatasetDescriptor(
            id="my-org/naip-custom",
            stac_api=site.url,
            stac_collection="naip",
            band_map={"R": "image", "G": "image", "B": "image", "NIR": "image"},
            band_index_map={"R": 0, "G": 1, "B": 2, "NIR": 3},
            separate_files=False,
        )
    )
    collection = rasteret.build(
        "my-org/naip-custom", name="n", bbox=(-93.8, 41.9, -93.6, 42.1), date_range=("2022-01-01", "2022-12-31")
    )
    assert np.unique(collection.get_numpy(area("iowa"), ["NIR"])).tolist() == [site.value("iowa", "image", 3)]
