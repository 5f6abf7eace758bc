"""Zones that are a frame of geopandas, in SQL: as its `to_arrow` gives them, in their own CRS."""

import duckdb
import geopandas
import pytest
import shapely

import rasteret_sql


def test_zones_of_a_frame_have_its_crs(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        catalog = "rasteret_example('catalog/catalog.json')"
        con.execute(f"FROM rasteret_build_from_stac('meadows', {catalog}, 'sentinel2-eopatch-slovenia')").fetchall()
        box = shapely.box(14.5594, 45.8702, 14.5608, 45.8717)
        frame = geopandas.GeoDataFrame({"field": [1]}, geometry=[box], crs=4326).to_crs(3035)
        zones = frame.to_arrow()  # noqa: F841 - SQL reads it by its name
        said = "SELECT field, count, mean FROM zonal_stats_table(rasteret.meadows, {}, 'ndvi') ORDER BY scene_id"
        found = con.sql(said.format("zones")).fetchall()
        wkb = frame.to_wkb()  # noqa: F841 - SQL reads it by its name
        assert found == con.sql(said.format("wkb").replace("'ndvi'", "'ndvi', geom_crs := 3035")).fetchall()
        assert len(found) == 68
        assert found[0][1] > 100
        with pytest.raises(duckdb.Error, match="'geometry' not recognized"):
            con.sql(said.format("frame")).fetchall()
