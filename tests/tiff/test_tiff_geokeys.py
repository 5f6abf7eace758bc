"""Whatever GeoKeys a file has, its pixels lie where GDAL puts them, or neither gives them a place."""

import itertools

import numpy as np
import pyproj
import pytest
from craft import ASCII, DOUBLE, SHORT, grey, header_of, tiff
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pyproj.database import query_crs_info
from pyproj.enums import PJType
from rasterio.io import MemoryFile

from tests.sampling import examples, some

pytestmark = pytest.mark.filterwarnings("ignore")

USER = 32767


def file_with(keys):
    """A TIFF with a directory of GeoKeys {key: whole number, real or text}."""
    words, doubles, text = [1, 1, 0, len(keys)], [], ""
    for key, value in sorted(keys.items()):
        if isinstance(value, int):
            words += [key, 0, 1, value]
        elif isinstance(value, float):
            words += [key, 34736, 1, len(doubles)]
            doubles.append(value)
        else:
            words += [key, 34737, len(value) + 1, len(text)]
            text += value + "|"
    tags, tiles = grey(np.ones((4, 4), "u1"))
    tags |= {34735: (SHORT, words), 33550: (DOUBLE, [10.0, 10.0, 0.0]), 33922: (DOUBLE, [0.0] * 6)}
    tags |= ({34736: (DOUBLE, doubles)} if doubles else {}) | ({34737: (ASCII, text)} if text else {})
    return tiff((tags, tiles))


def horizontal(text):
    """A CRS that can place pixels, or None: neither that of a drawing, nor x, y, z from the centre of the Earth."""
    crs = pyproj.CRS(text) if text else None
    if crs is not None and crs.is_compound:
        crs = crs.sub_crs_list[0]
    return crs if crs is not None and (crs.is_projected or crs.is_geographic) else None


def lonlat(crs, x, y):
    """Places of points of a file, None where PROJ has no way from its CRS."""
    try:
        return np.array(pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y))
    except pyproj.exceptions.ProjError:
        return None


def compare(data, around=None, metres=1e-3):
    """Assert that our CRS of a file places points where rasterio's does."""
    ours = horizontal(header_of(data).crs)
    with MemoryFile(data) as file, file.open() as source:
        gdal = horizontal(source.crs.to_wkt(version="WKT2_2019") if source.crs else None)
    if gdal is None:
        assert ours is None
        return
    if gdal.is_projected:
        unit = gdal.axis_info[0].unit_conversion_factor
        x, y = (v.ravel() / unit for v in np.meshgrid(np.linspace(-3e5, 4e5, 5), np.linspace(-2e5, 3e5, 5)))
    else:
        x, y = (v.ravel() for v in np.meshgrid(np.linspace(0.5, 8, 5), np.linspace(43, 50, 5)))
    if around is not None:
        x, y = around
    right = lonlat(gdal, x, y)
    found = None if ours is None else lonlat(ours, x, y)
    if right is None or found is None:
        assert right is None and found is None, (ours, gdal)
        return
    there = np.isfinite(right).all(axis=0)
    np.testing.assert_array_equal(np.isfinite(found).all(axis=0), there)
    if there.any():
        lon, lat = found[:, there] - right[:, there]
        off = np.hypot(((lon + 180) % 360 - 180) * np.cos(np.radians(right[1, there])), lat) * 111_320
        assert np.max(off) < metres, f"{np.max(off)} m: {ours.to_wkt()} for {gdal.to_wkt()}"


PROJECTED = {1024: 1, 1025: 1}
GEOGRAPHIC = {1024: 2, 1025: 1}
DEFINED = PROJECTED | {2048: 4326, 3072: USER, 3074: USER, 3076: 9001}
SHIFT = {3082: 1000.0, 3083: 2000.0}
TM = DEFINED | {3075: 1, 3080: 15.0, 3081: 10.0, 3092: 0.999, 3082: 500000.0, 3083: 0.0}

PARAMETERS = {
    "natural origin": {3081: 30.0, 3080: 15.0, **SHIFT},
    "false origin": {3085: 30.0, 3084: 15.0, 3086: 1000.0, 3087: 2000.0},
    "centre": {3089: 30.0, 3088: 15.0, 3090: 1000.0, 3091: 2000.0},
    "two origins": {3081: 30.0, 3080: 15.0, 3085: 31.0, 3084: 16.0, **SHIFT, 3090: 7.0},
    "false origin and centre": {3085: 30.0, 3084: 15.0, 3089: 31.0, 3088: 16.0, 3086: 1000.0, 3090: 7.0},
    "no origin": SHIFT,
    "on the equator": {3081: 0.0, 3080: 15.0, **SHIFT},
    "north pole": {3081: 90.0, 3095: 15.0, **SHIFT},
    "south pole": {3081: -90.0, 3095: 15.0, 3092: 0.97, **SHIFT},
    "pole by a parallel": {3081: 70.0, 3095: 15.0, **SHIFT},
    "scale": {3081: 30.0, 3080: 15.0, 3092: 0.9},
    "scale of the equator": {3081: 0.0, 3080: 15.0, 3092: 0.9},
    "scale 1": {3081: 49.2, 3080: 15.0, 3092: 1.0},
    "scale at the centre": {3081: 30.0, 3080: 15.0, 3093: 0.9},
    "two scales": {3081: 30.0, 3080: 15.0, 3092: 0.9, 3093: 0.8},
    "a parallel": {3080: 15.0, 3078: 49.2},
    "a parallel and scale 1": {3080: 15.0, 3078: 49.2, 3092: 1.0},
    "a parallel and an origin": {3081: 30.0, 3080: 15.0, 3078: 49.2},
    "two parallels": {3081: 45.0, 3080: 15.0, 3078: 40.0, 3079: 55.0, **SHIFT},
    "azimuth": {3081: 30.0, 3080: 15.0, 3094: 35.0, 3093: 0.9, **SHIFT},
    "azimuth and grid angle": {3089: 30.0, 3088: 15.0, 3094: 35.0, 3096: 20.0},
}
METHODS = [*range(1, 29), 9815, 1024]


@pytest.mark.parametrize("method", some(METHODS, 13))
def test_every_method_with_its_parameters_under_any_of_their_keys(method):
    for parameters in PARAMETERS.values():
        compare(file_with(DEFINED | {3075: method} | parameters))


CODED = {f"EPSG:{code}": PROJECTED | {3072: code} for code in (2263, 32633, 27561, 2154, 3857)}
REFINED = {
    "nothing": {}, "metre": {3076: 9001}, "foot": {3076: 9002}, "US foot": {3076: 9003}, "Clarke's foot": {3076: 9005},
    "own unit": {3076: USER, 3077: 2.0}, "another GCS": {2048: 4269}, "a GCS from Paris": {2048: 4807},
    "own GCS": {2048: USER, 2057: 6378000.0, 2059: 300.0}, "axes alone": {2057: 6378000.0, 2059: 300.0},
    "ellipsoid": {2056: 7004}, "datum": {2050: 6267}, "meridian": {2051: 8903}, "meridian by longitude": {2061: 3.0},
    "method": {3075: 1, 3080: 16.0, 3092: 0.99}, "longitude alone": {3080: 16.0}, "conversion": {3074: 16032},
    "heights": {4096: 5703, 4099: 9001}, "citations": {1026: "hello", 3073: "x"}, "geographic": {1024: 2},
    "no model": {1024: USER},
}  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("code", some(CODED, 5))
def test_keys_that_refine_a_coded_projected_crs(code):
    for more in REFINED.values():
        compare(file_with(CODED[code] | more))


DATUMS = {
    "none": {}, "of WGS 84": {2050: 6326}, "NAD27": {2050: 6267}, "of Paris": {2050: 6807}, "unknown": {2050: 9999},
    "NTF": {2050: 6275}, "WGS 72": {2050: 6322}, "by an ellipsoid": {2050: 6001}, "of a sphere": {2050: 6047},
    "own": {2050: USER},
}  # fmt: skip
PARTS = {
    "nothing": {}, "Paris": {2051: 8903}, "no such meridian": {2051: 9999}, "longitude": {2061: 3.5},
    "Paris and a longitude": {2051: 8903, 2061: 3.5}, "Bessel": {2056: 7004},
    "Bessel, larger": {2056: 7004, 2057: 6378000.0},
    "a, 1/f": {2057: 6378000.0, 2059: 300.0}, "a, b": {2057: 6378000.0, 2058: 6350000.0}, "a": {2057: 6378000.0},
    "a, b, 1/f": {2057: 6378000.0, 2058: 6350000.0, 2059: 300.0}, "a, no flattening": {2057: 6378000.0, 2059: 0.0},
    "grads": {2054: 9105}, "own angle": {2054: USER, 2055: 0.01},
    "name": {2049: "GCS Name = Foo|Datum = Bar|Ellipsoid = Bessel 1841|Primem = Paris"},
}  # fmt: skip


@pytest.mark.parametrize(("of", "datum"), some(itertools.product(["geographic", "projected"], DATUMS), 99))
def test_a_datum_with_any_ellipsoid_meridian_and_angle(datum, of):
    start = (GEOGRAPHIC if of == "geographic" else TM) | {2048: USER} | DATUMS[datum]
    for more in PARTS.values():
        compare(file_with(start | more))


@pytest.mark.exhaustive
@pytest.mark.parametrize("code", some([4326, 4267, 4047], 3))
def test_keys_that_refine_a_coded_geographic_crs(code):
    refining = [*PARTS.values(), {2050: 6267}, {2058: 6350000.0}, {4096: 5773}]
    for more in refining:
        compare(file_with(TM | {2048: code} | more))
        compare(file_with(GEOGRAPHIC | {2048: code} | more))


IN_FRANCE = ([0.5, 1.0, 2.0, 3.0], [40.0, 45.0, 50.0, 48.0])
"""In grads and in degrees, from Greenwich and from Paris, within the reach of NTF's and ATF's shifts."""


@pytest.mark.parametrize(
    ("unit", "code"), some(itertools.product([None, 9102, 9105, 9106], [4901, 4807, 4902, 4820, 4815, 4275]), 99)
)
def test_keys_that_refine_a_coded_geographic_crs_where_its_datum_has_shifts(code, unit):
    """In grads or from Paris: what is left of the datum's own meridian must not be taken away by a shift."""
    start = GEOGRAPHIC | {2048: code} | ({} if unit is None else {2054: unit})
    shapes = [{}, {2056: 7004}, {2057: 6378000.0, 2059: 300.0}]
    for meridian in ({}, {2051: 8901}, {2051: 8903}, {2051: 8914}):
        for shape in shapes:
            compare(file_with(start | meridian | shape), around=IN_FRANCE)
    for datum in (6807, 6901):
        compare(file_with(start | {2050: datum, 2056: 7004}), around=IN_FRANCE)


def test_the_datum_that_refines_a_coded_crs_keeps_its_shift():
    # GDAL keeps the code of NAD27 beside the datum NTF, and has no shift for both in France: 59 m beside this.
    ours = lonlat(pyproj.CRS(header_of(file_with(GEOGRAPHIC | {2048: 4267, 2050: 6275})).crs), *IN_FRANCE)
    np.testing.assert_allclose(ours, lonlat(pyproj.CRS(4275), *IN_FRANCE), rtol=0, atol=1e-9)


COMBINED = st.fixed_dictionaries(
    {2048: st.sampled_from([USER, 4326, 4267, 4275, 4807, 4901, 4902, 4904, 4903, 4815, 4813, 4806, 4801, 4258, 4230])},
    optional={
        2050: st.sampled_from([USER, 6267, 6275, 6807, 6901, 6904, 6815, 6813, 6806, 6818, 6801, 6326, 6903, 9999]),
        2051: st.sampled_from([8901, 8903, 8914, 8902, 8909, 8908]),
        2054: st.sampled_from([9102, 9105]),
        2056: st.sampled_from([7004, 7022]),
        3072: st.sampled_from([USER, 27561, 2154, 20790]),
    },
)


@settings(max_examples=60)
@given(COMBINED)
def test_any_combination_lies_where_gdal_puts_it_but_for_the_shift_of_a_datum(keys):
    """Beside a coded CRS, GDAL knows datums by one name or the other, and shifts some: that is up to 300 m."""
    projected = 3072 in keys
    own = {key: TM[key] for key in (3074, 3075, 3076, 3080, 3081, 3092)} if keys.get(3072) == USER else {}
    compare(
        file_with((PROJECTED if projected else GEOGRAPHIC) | own | keys),
        around=None if projected else IN_FRANCE,
        metres=300,
    )


NOT_EPSGS_DATUM = {
    "the datum of Paris beside another CRS": {2048: 4275, 2050: 6901, 2051: 8914},
    "with another ellipsoid": {2048: USER, 2050: 6901, 2051: 8914, 2056: 7022, 3072: 27561},
    "beside a projected CRS": {2050: 6901, 2051: 8914, 3072: 2154},
    "from Greenwich": {2048: USER, 2050: 6901, 2057: 6378000.0, 2059: 300.0, 3072: 27561},
    "a coded CRS in grads": {2048: 4807, 2050: 6901, 2054: 9102, 3072: 27561},
    "Bern with its own ellipsoid, from Greenwich": {2048: USER, 2050: 6801, 2056: 7004, 3072: 2154},
    "its parts are those of a coded CRS": {2048: 4801, 2050: USER, 2054: 9102, 2056: 7004},
    "another meridian": {2048: 4230, 2050: 6904, 2051: 8901, 2056: 7022},
    "a user's own": {2048: 4901, 2050: USER, 2051: USER, 2054: 9102, 2056: 7022, 2061: 3.0},
    "a user's own without an ellipsoid": {2048: 4815, 2050: USER, 2054: 9102, 3072: 27561},
    "a code that EPSG does not have": {2048: 4230, 2050: 9999, 2051: 8901, 2056: 7022},
}


@pytest.mark.parametrize("keys", some(NOT_EPSGS_DATUM.values(), 4), ids=str)
def test_a_datum_that_epsg_does_not_have_so_is_not_shifted(keys):
    """PROJ takes the meridian of Paris away from some datums beside a CRS that is not theirs: up to 730 km."""
    projected = 3072 in keys
    compare(file_with((PROJECTED if projected else GEOGRAPHIC) | keys), around=None if projected else IN_FRANCE)


@pytest.mark.parametrize("code", some([4326, 4258, 4322, 8888, 4740, 9000], 99))
def test_nothing_refines_a_geographic_crs_whose_datum_moves(code):
    for more in ({2050: 6275}, {2051: 8908}, {2056: 7004}, {2054: 9105}, {2050: 6801, 2051: 8909}):
        compare(file_with(GEOGRAPHIC | {2048: code} | more))
        compare(file_with(TM | {2048: code} | more))


@pytest.mark.parametrize("code", [4807, 4901, 4801, 4904])
def test_a_datum_said_again_keeps_its_shift(code):
    """A file that names the datum and meridian that its coded CRS has anyway lies where that CRS lies."""
    crs = pyproj.CRS(code)
    about = crs.datum.to_json_dict()
    said = {2050: about["id"]["code"], 2051: PRIME_MERIDIANS[code], 2054: 9102 if code in (4801, 4904) else 9105}
    x, y = (np.array(v) for v in IN_FRANCE)
    found = lonlat(pyproj.CRS(header_of(file_with(GEOGRAPHIC | {2048: code} | said)).crs), x, y)
    np.testing.assert_allclose(found, lonlat(crs, x, y), rtol=0, atol=1e-9)


PRIME_MERIDIANS = {4807: 8903, 4901: 8914, 4801: 8907, 4904: 8902}


@pytest.mark.parametrize("unit", [9103, 9104, 9105, 9101])
@pytest.mark.parametrize("code", [4807, 4275])
def test_paris_is_where_it_is_in_every_angular_unit(code, unit):
    # GDAL 3.10 divides the longitude of Paris by the unit, several times over; this is EPSG's, 2.5969213 grads.
    keys = GEOGRAPHIC | {2048: code, 2051: 8903, 2054: unit}
    crs = pyproj.CRS(header_of(file_with(keys)).crs)
    meridian = crs.prime_meridian
    assert np.degrees(meridian.longitude * meridian.unit_conversion_factor) == pytest.approx(2.5969213 * 0.9, abs=1e-12)


@pytest.mark.parametrize(
    "unit", some([9001, 9002, 9003, 9005, 9030, 9036, 9037, 9040, 9050, 9070, 9084, 9093, 9098, 9301, 1025, 7777], 4)
)
def test_linear_units_by_code(unit):
    compare(file_with(TM | {3076: unit}))
    compare(file_with(TM | {3076: unit, 3077: 3.0}))


def test_linear_units_by_size():
    whole = {key: value for key, value in TM.items() if key != 3076}
    for more in ({3076: USER, 3077: 2.0}, {3076: USER}, {3076: USER, 3077: 0.0}, {3077: 2.0}, {}):
        compare(file_with(whole | more))


@pytest.mark.parametrize(
    "unit", some([9101, 9102, 9103, 9104, 9105, 9106, 9107, 9109, 9110, 9112, 9114, 9122, 9999], 3)
)
def test_angular_units(unit):
    compare(file_with(TM | {2054: unit}))
    compare(file_with(GEOGRAPHIC | {2048: USER, 2050: 6326, 2054: unit}), around=([1.0, 2.0], [0.5, 0.25]))


@pytest.mark.parametrize("code", some([16032, 16133, 17515, 19926, 9999, 10101, 13101, 18001, 3901, 12101], 9))
def test_coded_conversions(code):
    start = PROJECTED | {2048: 4326, 3072: USER, 3074: code}
    for more in ({3076: 9001}, {3076: 9003}, {}, {2048: USER}):
        compare(file_with(start | more))
    compare(file_with(TM | {3074: code}))


def test_pixels_have_no_place_in_geocentric_coordinates():
    for keys in ({1024: 3, 2048: 4978}, {1024: 2, 2048: 4978}, {1024: 3, 2048: 4326}):
        assert header_of(file_with(keys)).crs is None


CITED = [
    # name of the datum in Esri's citation, code of its ellipsoid, a place
    ("D_North_American_1927", 7008, -95, 40),
    ("North_American_Datum_1927", 7008, -95, 40),
    ("D_NTF", 7011, 3, 47),
    ("D_Tokyo", 7004, 138, 36),
    ("D_European_1950", 7022, 8, 48),
    ("D_WGS_1984", 7030, 8, 48),
    ("D_of_nobody", 7022, 8, 48),
]


@pytest.mark.parametrize(("datum", "ellipsoid", "lon", "lat"), some(CITED, 3))
def test_a_datum_that_only_the_citation_names(datum, ellipsoid, lon, lat):
    citation = f"GCS Name = Ours|Datum = {datum}|Ellipsoid = Ours|Primem = Greenwich||"
    keys = GEOGRAPHIC | {2048: USER, 2050: USER, 2056: ellipsoid, 2049: citation}
    compare(file_with(keys), around=(np.array([lon, lon + 0.5]), np.array([lat, lat - 0.4])))


def test_a_meridian_by_its_longitude_in_grads():
    # GDAL 3.10 turns such a longitude into degrees several times over; this is 3.5 grads, by hand.
    crs = pyproj.CRS(header_of(file_with(GEOGRAPHIC | {2048: USER, 2050: 6275, 2054: 9105, 2061: 3.5})).crs)
    assert crs.prime_meridian.longitude == pytest.approx(3.15)
    assert crs.axis_info[0].unit_name != "degree"


WRITABLE = sorted(
    int(info.code)
    for info in query_crs_info(auth_name="EPSG", pj_types=[PJType.PROJECTED_CRS, PJType.GEOGRAPHIC_2D_CRS])
    if int(info.code) < USER
)


@pytest.mark.exhaustive
@settings(max_examples=examples(40))
@given(st.sampled_from(WRITABLE))
def test_epsgs_own_crs_written_by_gdal_without_their_codes(code):
    """The parameters alone: whatever keys GDAL writes for them, both read the same place."""
    crs = pyproj.CRS.from_epsg(code)
    if crs.prime_meridian.longitude and (crs.geodetic_crs or crs).axis_info[0].unit_name == "grad":
        reject()  # GDAL's own reading of a meridian in grads is wrong, see above
    about = without_names(crs.to_json_dict())
    bounds = crs.area_of_use
    with MemoryFile() as file:
        profile = {"driver": "GTiff", "count": 1, "height": 1, "width": 1, "dtype": "uint8"}
        try:
            with file.open(**profile, crs=pyproj.CRS.from_json_dict(about).to_wkt()) as target:
                target.write(np.ones((1, 1, 1), "u1"))
        except Exception:
            reject()  # GDAL cannot write it
        data = file.read()
    lon, lat = (bounds.west + bounds.east) / 2, (bounds.south + bounds.north) / 2
    try:
        way = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        x, y = way.transform([lon, lon, lon + 0.1], [lat, lat + 0.1, lat])
    except pyproj.exceptions.ProjError:
        reject()  # no way there
    compare(data, around=(np.array(x), np.array(y)))


def without_names(about):
    """PROJJSON without ids, areas and names that PROJ would know a CRS or its parts by; methods keep theirs."""
    if isinstance(about, list):
        return [without_names(one) for one in about]
    if not isinstance(about, dict):
        return about
    out = {}
    for key, value in about.items():
        if key in ("method", "parameters"):
            out[key] = value
        elif key not in ("id", "ids", "area", "bbox", "scope", "usages", "remarks"):
            out[key] = without_names(value)
    if out.get("type") in ("ProjectedCRS", "GeographicCRS", "Conversion") or "ellipsoid" in out:
        out["name"] = "unknown"
    return out
