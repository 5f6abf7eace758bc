"""The calls over DataFrames beside the same calls in DuckDB."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
import shapely

import rasteret_sql
from rasteret_sql.errors import RasteretError
from tests.hosts.hosting import CATALOG

BOX = (-76.28, 39.25, -73.5, 41.39)
"""Of the scenes of `year`."""
AREA = "POLYGON ((-74.6 40.6, -74.5 40.6, -74.5 40.7, -74.6 40.7, -74.6 40.6))"


@pytest.fixture(scope="session")
def year(workspace):
    """The collection `year`: 19 Landsat scenes over New York."""
    rasteret_sql.build_from_stac(
        name="year", stac_api=str(CATALOG), collection="landsat8-ny-2018", workspace_dir=workspace
    )
    return rasteret_sql.connect(workspace_dir=workspace)


@pytest.fixture
def frames(functions, year):
    """The scenes of `year` as a DataFrame, and what makes one of an Arrow table."""
    from rasteret_sql.hosts import spark

    return spark.scenes(functions, "year"), functions.createDataFrame


def squares(count, form, sides=(0.0005, 0.004)):
    """Zones of 50 to 800 m on a side in and around the scenes, the last one without a geometry."""
    random = np.random.default_rng(7)
    x, y = random.uniform(BOX[:2], BOX[2:], (count, 2)).T
    side = random.uniform(*sides, count)
    shapes = [*shapely.box(x - side, y - side, x + side, y + side), None]
    values = [None if one is None else form(one) for one in shapes]
    return pa.table({"zone": range(count + 1), "name": [f"z{at}" for at in range(count + 1)], "geometry": values})


def plain(rows):
    """Rows for comparison: bytes as bytes, instants as they are in UTC."""
    return sorted(
        repr(
            [
                bytes(value)
                if isinstance(value, bytearray | bytes)
                else value.astimezone(dt.UTC).replace(tzinfo=None)
                if isinstance(value, dt.datetime) and value.tzinfo
                else value
                for value in row
            ]
        )
        for row in rows
    )


@pytest.mark.parametrize("form", [shapely.to_wkt, shapely.to_wkb], ids=["wkt", "wkb"])
def test_statistics_are_those_of_duckdb_for_the_same_pairs(frames, year, form):
    from rasteret_sql.hosts.spark import zonal_stats_table

    scenes, frame = frames
    zones = squares(100, form)
    columns = "scene_id, datetime, band, zone, name, count, mean, p25"
    found = zonal_stats_table(scenes, frame(zones), ["blue", "red"], stats=["count", "mean", "p25"], all_touched=True)
    wanted = year.sql(
        f"SELECT {columns} FROM zonal_stats_table(rasteret.year, zones, ['blue', 'red'], "
        "stats := ['count', 'mean', 'p25'], all_touched := true)"
    ).fetchall()
    assert found.columns == ["scene_id", "datetime", "band", "zone", "name", "geometry", "count", "mean", "p25"]
    assert len(wanted) > 500
    assert plain(found.selectExpr(*columns.split(", ")).collect()) == plain(wanted)


def test_a_histogram_and_a_geometry_of_spark_in_another_crs(frames, year):
    from rasteret_sql.hosts.spark import zonal_stats_table

    scenes, frame = frames
    box = shapely.box(-8304300, 4966300, -8304100, 4966500)
    typed = frame(pa.table({"wkb": [shapely.to_wkb(box)]})).selectExpr("ST_SetSrid(ST_GeomFromWKB(wkb), 3857) AS geom")
    found = zonal_stats_table(scenes, typed, "blue", stats=["hist", "count"])
    rows = found.selectExpr("scene_id", "aggregate(map_values(hist), 0D, (a, b) -> a + b)", "count").collect()
    zone = pa.table({"geom": [box.wkt]})
    wanted = year.sql(
        "SELECT scene_id, count, count FROM zonal_stats_table(rasteret.year, zone, 'blue', geom_crs := 3857)"
    ).fetchall()
    assert zone.num_rows == 1
    assert len(rows) > 0
    assert plain(rows) == plain(wanted)


def test_points_by_lon_and_lat(frames, year):
    from rasteret_sql.hosts.spark import sample_points

    scenes, frame = frames
    lon, lat = np.random.default_rng(3).uniform(BOX[:2], BOX[2:], (40, 2)).T
    points = pa.table({"point": range(40), "lon": lon, "lat": lat})
    found = sample_points(scenes, frame(points), {"one": "blue", "ratio": "red / blue"})
    wanted = year.sql(
        "SELECT scene_id, point, one, ratio FROM sample_points(rasteret.year, points, "
        "{'one': 'blue', 'ratio': 'red / blue'})"
    ).fetchall()
    assert len(wanted) > 100
    assert plain(found.select("scene_id", "point", "one", "ratio").collect()) == plain(wanted)


def test_chips_of_pairs(frames, year):
    from rasteret_sql.hosts.spark import read_chips

    scenes, frame = frames
    zones = pa.table({"zone": [1, 2], "geometry": [AREA, None]})
    fields = "scene_id, zone, chip.data AS data, chip.width AS width, chip.crs AS crs"
    found = read_chips(scenes, frame(zones), ["blue", "red"])
    wanted = year.sql(f"SELECT {fields} FROM read_chips(rasteret.year, zones, ['blue', 'red'])").fetchall()
    assert zones.num_rows == 2
    assert len(wanted) > 10
    assert plain(found.selectExpr(*fields.split(", ")).collect()) == plain(wanted)


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"every": "month", "method": "median", "crs": "EPSG:3857", "resolution": 100},
        {"every": dt.timedelta(days=40), "order_by": '"eo:cloud_cover" DESC', "method": "last"},
    ],
    ids=["all", "month", "40 days"],
)
def test_composites_are_those_of_duckdb(frames, year, named):
    from rasteret_sql.hosts.spark import read_mosaic

    scenes, _ = frames
    words = {name: "40 days" if isinstance(value, dt.timedelta) else value for name, value in named.items()}
    arguments = "".join(f", {name} := {value!r}" for name, value in words.items())
    found = read_mosaic(scenes, "blue", AREA, **named)
    wanted = year.sql(
        "SELECT epoch_us(period), scenes, chip.data, chip.transform::DOUBLE[] FROM "
        f"read_mosaic(rasteret.year, 'blue', '{AREA}'{arguments})"
    ).fetchall()
    assert len(wanted) == (1 if not named else len({row[0] for row in wanted}))
    assert plain(found.selectExpr("unix_micros(period)", "scenes", "chip.data", "chip.transform").collect()) == plain(
        wanted
    )


@pytest.mark.parametrize(
    "named",
    [{}, {"every": "week", "agg": "mean", "fill": "linear"}, {"agg": "p90", "fill": "previous", "mask": "red > 9000"}],
    ids=["median", "mean", "p90"],
)
def test_series_are_those_of_duckdb(frames, year, named):
    from rasteret_sql.hosts.spark import zonal_series

    scenes, frame = frames
    zones = squares(60, shapely.to_wkt)
    # A zone that is there twice has its rows twice.
    zones = pa.concat_tables([zones, zones.slice(3, 2)])
    arguments = "".join(f", {name} := {value!r}" for name, value in named.items())
    columns = "zone, name, band, period, scenes, count, value"
    found = zonal_series(scenes, frame(zones).repartition(3), ["blue", "red"], **named)
    wanted = year.sql(
        f"SELECT {columns} FROM zonal_series(rasteret.year, zones, ['blue', 'red']{arguments})"
    ).fetchall()
    assert found.columns == ["zone", "name", "geometry", "band", "period", "scenes", "count", "value"]
    assert len(wanted) > 500
    assert plain(found.selectExpr(*columns.split(", ")).collect()) == plain(wanted)


def test_series_without_any_pair_have_no_rows(frames):
    from rasteret_sql.hosts.spark import zonal_series

    scenes, frame = frames
    far = frame(pa.table({"zone": [1], "geometry": [shapely.box(10, 10, 11, 11).wkt]}))
    assert zonal_series(scenes, far, "blue").collect() == []


@pytest.mark.parametrize("named", [{}, {"every": "month", "method": "median"}], ids=["all", "month"])
def test_composites_of_zones_are_those_of_duckdb(frames, year, named):
    from rasteret_sql.hosts.spark import read_mosaics

    scenes, frame = frames
    zones = squares(80, shapely.to_wkb, (0.05, 0.1))
    zones = pa.concat_tables([zones, zones.slice(3, 2)])
    arguments = "".join(f", {name} := {value!r}" for name, value in named.items())
    found = read_mosaics(scenes, frame(zones).repartition(2), ["blue", "red"], **named)
    wanted = year.sql(
        "SELECT zone, name, epoch_us(period), scenes, chip.data, chip.transform::DOUBLE[] FROM "
        f"read_mosaics(rasteret.year, zones, ['blue', 'red']{arguments})"
    ).fetchall()
    assert found.columns == ["zone", "name", "geometry", "period", "scenes", "chip"]
    assert len(wanted) > 20
    shown = ["zone", "name", "unix_micros(period)", "scenes", "chip.data", "chip.transform"]
    assert plain(found.selectExpr(*shown).collect()) == plain(wanted)


@pytest.mark.parametrize(
    "named", [{}, {"crs": "EPSG:3857", "resolution": 60, "mask": "red > 12000"}], ids=["own", "grid"]
)
def test_pixels_are_those_of_duckdb(frames, year, named):
    from rasteret_sql.hosts.spark import read_pixels

    scenes, _ = frames
    arguments = "".join(f", {name} := {value!r}" for name, value in named.items())
    found = read_pixels(scenes, {"one": "blue", "ratio": "red / blue"}, AREA, **named)
    wanted = year.sql(
        f"FROM read_pixels(rasteret.year, {{'one': 'blue', 'ratio': 'red / blue'}}, geom := '{AREA}'{arguments})"
    )
    assert found.columns == wanted.columns
    rows = wanted.fetchall()
    assert len(rows) > 100
    assert plain(found.collect()) == plain(rows)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("zonal_stats_table", {"all_touched": True}),
        ("read_chips", {}),
        ("read_pixels", {"geom": AREA}),
        ("read_mosaic", {"geom": AREA, "every": "month"}),
    ],
    ids=["zonal_stats_table", "read_chips", "read_pixels", "read_mosaic"],
)
def test_costs_are_those_of_duckdb(frames, year, call, named):
    from rasteret_sql.hosts.spark import rasteret_explain_table

    scenes, frame = frames
    zones = squares(40, shapely.to_wkt)
    of_one = "geom" in named
    arguments = "".join(f", {name} := {value!r}" for name, value in {"call": call, **named}.items())
    given = None if of_one else frame(zones)
    found = rasteret_explain_table(scenes, given, ["blue", "red"], call=call, **named)
    wanted = year.sql(
        f"FROM rasteret_explain_table(rasteret.year, {'NULL' if of_one else 'zones'}, ['blue', 'red']{arguments})"
    )
    assert found.columns == wanted.columns
    rows = wanted.fetchall()
    assert len(rows) >= 6
    assert sum(row[-3] for row in rows) > 0
    assert plain(found.collect()) == plain(rows)


def test_partitions_have_as_many_scenes_as_others(frames):
    from pyspark.sql.functions import spark_partition_id

    from rasteret_sql.hosts.spark import read_pixels

    scenes, _ = frames
    found = read_pixels(scenes, "blue", AREA, partitions=3)
    places = {(row[0], row[1]) for row in found.select("scene_id", spark_partition_id()).distinct().collect()}
    counts = [sum(partition == at for _, partition in places) for at in range(3)]
    assert sum(counts) == len({scene for scene, _ in places}) > 3
    assert max(counts) <= 7  # a third of 19, of which some miss the area


def test_a_scene_is_read_in_one_partition(frames):
    from pyspark.sql.functions import spark_partition_id

    from rasteret_sql.hosts.spark import zonal_stats_table

    scenes, frame = frames
    found = zonal_stats_table(scenes, frame(squares(50, shapely.to_wkt)), "blue", stats=["count"], partitions=6)
    places = {(row[0], row[1]) for row in found.select("scene_id", spark_partition_id()).collect()}
    assert len(places) == len({scene for scene, _ in places}) > 3
    assert len({partition for _, partition in places}) > 1


BAD = [
    (lambda spark, scenes, zones: spark.zonal_stats_table(scenes, zones, "blue", stats=["maen"]), "did you mean"),
    (
        lambda spark, scenes, zones: spark.zonal_stats_table(scenes, zones, "blue", maks="red > 1"),
        'did you mean "mask"',
    ),
    (lambda spark, scenes, zones: spark.zonal_stats_table(scenes, zones, "blue", max_bytes=1), "no process sees all"),
    (lambda spark, scenes, zones: spark.zonal_stats_table(scenes, zones, None), "band is missing"),
    (lambda spark, scenes, zones: spark.zonal_stats_table(scenes, zones.drop("geometry"), "blue"), "no such column"),
    (
        lambda spark, scenes, zones: spark.zonal_stats_table(scenes, zones.withColumnRenamed("name", "mean"), "blue"),
        "zones have a column mean, and so has the result",
    ),
    (
        lambda spark, scenes, zones: spark.zonal_stats_table(scenes.withColumnRenamed("id", "name"), zones, "blue"),
        "scenes have no column id",
    ),
    (
        lambda spark, scenes, zones: spark.sample_points(
            scenes, zones.selectExpr("1 AS lon", "2 AS lat", "3 AS x", "4 AS y"), "blue"
        ),
        "points have several columns that may be their places (lon, x, lat, y)",
    ),
    (lambda spark, scenes, zones: spark.read_mosaic(scenes, "blue", "POLYGON ((1"), "read_mosaic: "),
    (lambda spark, scenes, zones: spark.read_mosaic(scenes, "blue", AREA, every="moon"), "every := 'moon'"),
    (lambda spark, scenes, zones: spark.zonal_series(scenes, zones, "blue", every="moon"), "every := 'moon'"),
    (lambda spark, scenes, zones: spark.zonal_series(scenes, zones, "blue", agg="maen"), "zonal_series: "),
    (lambda spark, scenes, zones: spark.zonal_series(scenes, zones, "blue", fil="linear"), 'did you mean "fill"'),
    (
        lambda spark, scenes, zones: spark.zonal_series(scenes, zones.withColumnRenamed("name", "period"), "blue"),
        "zonal_series: zones have a column period, and so has the result",
    ),
    (lambda spark, scenes, zones: spark.read_mosaics(scenes, zones, "blue", method="worst"), "read_mosaics: "),
    (lambda spark, scenes, zones: spark.read_pixels(scenes, "blue", None), "read_pixels: geom is None"),
    (
        lambda spark, scenes, zones: spark.rasteret_explain_table(scenes, zones, "blue", call="read_mosaics"),
        "no process sees all zones of a period; DuckDB explains it",
    ),
    (
        lambda spark, scenes, zones: spark.rasteret_explain_table(scenes, None, "blue"),
        "rasteret_explain_table: zones is missing",
    ),
]


@pytest.mark.parametrize(("call", "says"), BAD, ids=[says for _, says in BAD])
def test_a_call_that_cannot_be_is_refused_in_the_driver(frames, call, says):
    from rasteret_sql.hosts import spark

    scenes, frame = frames
    with pytest.raises(RasteretError) as caught:
        call(spark, scenes, frame(squares(1, shapely.to_wkt)))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("zone", "band", "says"),
    [
        ("POINT (-74 41)", "blue", "zonal_stats_table: a zone is a polygon or multipolygon, not a Point"),
        ("POLYGON ((", "blue", "POLYGON (("),
        (AREA, "bleu", 'zonal_stats_table: unknown band "bleu" in collection "year"'),
    ],
)
def test_an_error_of_an_executor_says_what_is_wrong(frames, zone, band, says):
    from rasteret_sql.hosts.spark import zonal_stats_table

    scenes, frame = frames
    zones = frame(pa.table({"geometry": [zone]}))
    with pytest.raises(Exception, match="Error: ") as caught:
        zonal_stats_table(scenes, zones, band).collect()
    assert says in str(caught.value)


def test_a_crs_without_a_way_to_an_image_is_told_for_the_scene(frames):
    from rasteret_sql.hosts.spark import zonal_stats_table

    scenes, frame = frames
    zones = frame(pa.table({"geometry": [AREA, None]}))
    moon = {"stats": ["count"], "geom_crs": "IAU_2015:30100"}
    with pytest.raises(Exception, match="Error: ") as caught:
        zonal_stats_table(scenes, zones, "blue", **moon).collect()
    assert "band blue: PROJ has no transform from" in str(caught.value)
    assert zonal_stats_table(scenes, zones, "blue", on_error="null", **moon).collect() == []


def test_times_and_dates_of_scenes_are_those_of_duckdb(frames, year):
    scenes, _ = frames
    columns = ["id", "year", "month", "collection"]
    found = scenes.selectExpr("unix_micros(datetime)", *columns).where("month > 3").collect()
    wanted = year.sql(f"SELECT epoch_us(datetime), {', '.join(columns)} FROM rasteret.year WHERE month > 3").fetchall()
    assert len(wanted) > 3
    assert plain(found) == plain(wanted)
