"""GeoKeys as GDAL writes them come back as the same CRS."""

import itertools

import numpy as np
import pyproj
import pytest
from affine import Affine
from craft import ASCII, DOUBLE, SHORT, grey, header_of, tiff
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from tests.sampling import some

pytestmark = pytest.mark.filterwarnings("ignore")


def written(crs, **options):
    """(our CRS, the CRS that rasterio reads) of a file that GDAL writes with a CRS."""
    profile = {"driver": "GTiff", "count": 1, "height": 4, "width": 4, "dtype": "uint8"}
    with MemoryFile() as file:
        with file.open(**profile, crs=crs, transform=Affine(10, 0, 0, 0, -10, 0), **options) as target:
            target.write(np.ones((1, 4, 4), "u1"))
        with file.open() as source:
            read = source.crs
        return header_of(file.read()).crs, read


@pytest.mark.parametrize(
    "code",
    [4326, 4258, 4269, 3857, 32601, 32660, 32733, 3035, 3031, 3413, 3995, 5070, 2154, 27700, 28992, 31370, 2193, 6933,
     3577, 26910, 2263, 21781, 2056, 5514, 3301, 7844, 9377],
)  # fmt: skip
def test_codes_come_back_as_codes(code):
    assert written(f"EPSG:{code}")[0] == f"EPSG:{code}"


SPHERE = "+R=6371007.181"
DEFINED = {
    "transverse mercator": "+proj=tmerc +lat_0=3 +lon_0=11 +k=0.9997 +x_0=1000 +y_0=-2000 +ellps=GRS80",
    "transverse mercator in feet": "+proj=tmerc +lat_0=3 +lon_0=11 +k=0.9997 +x_0=1 +y_0=-2 +datum=NAD83 +units=us-ft",
    "utm": "+proj=utm +zone=32 +ellps=intl",
    "lambert 2sp": "+proj=lcc +lat_1=40 +lat_2=50 +lat_0=45 +lon_0=10 +x_0=500000 +y_0=100000 +datum=WGS84",
    "lambert 1sp": "+proj=lcc +lat_1=46.8 +lat_0=46.8 +lon_0=2.3 +k_0=0.9998 +x_0=600000 +y_0=2200000 +ellps=clrk80",
    "albers": "+proj=aea +lat_1=30 +lat_2=45 +lat_0=23 +lon_0=-100 +x_0=5 +y_0=6 +datum=NAD83",
    "lambert azimuthal": "+proj=laea +lat_0=-20 +lon_0=30 +x_0=0 +y_0=0 +datum=WGS84",
    "azimuthal equidistant": "+proj=aeqd +lat_0=51 +lon_0=9 +x_0=100 +y_0=200 +datum=WGS84",
    "polar by parallel": "+proj=stere +lat_0=90 +lat_ts=71 +lon_0=-39 +datum=WGS84",
    "polar by scale": "+proj=stere +lat_0=-90 +lon_0=12 +k=0.97 +x_0=10 +y_0=20 +datum=WGS84",
    "oblique stereographic": "+proj=sterea +lat_0=52 +lon_0=5 +k=0.9999 +x_0=155000 +y_0=463000 +ellps=bessel",
    "mercator by scale": "+proj=merc +lon_0=10 +k=0.9 +x_0=1 +y_0=2 +datum=WGS84",
    "mercator by parallel": "+proj=merc +lon_0=10 +lat_ts=30 +x_0=1 +y_0=2 +datum=WGS84",
    "sinusoidal of a sphere": f"+proj=sinu +lon_0=15 +x_0=0 +y_0=0 {SPHERE}",
    "equirectangular": "+proj=eqc +lat_ts=30 +lat_0=0 +lon_0=20 +x_0=0 +y_0=0 +datum=WGS84",
    "cylindrical equal area": "+proj=cea +lat_ts=30 +lon_0=5 +x_0=0 +y_0=0 +datum=WGS84",
    "robinson": "+proj=robin +lon_0=5 +x_0=0 +y_0=0 +datum=WGS84",
    "miller": f"+proj=mill +lon_0=5 +x_0=0 +y_0=0 {SPHERE}",
    "gnomonic": f"+proj=gnom +lat_0=40 +lon_0=5 +x_0=0 +y_0=0 {SPHERE}",
    "orthographic": f"+proj=ortho +lat_0=40 +lon_0=5 +x_0=0 +y_0=0 {SPHERE}",
    "polyconic": "+proj=poly +lat_0=0 +lon_0=-54 +x_0=5000000 +y_0=10000000 +ellps=aust_SA",
    "cassini": "+proj=cass +lat_0=10 +lon_0=-61 +x_0=86501 +y_0=65379 +ellps=clrk66",
    "van der grinten": f"+proj=vandg +lon_0=5 +x_0=0 +y_0=0 {SPHERE}",
    "hotine": "+proj=omerc +no_uoff +lat_0=4 +lonc=115 +alpha=53.3 +gamma=53.1 +k=0.99984 +x_0=0 +y_0=0 +ellps=evrstSS",
    "hotine at centre": "+proj=omerc +lat_0=4 +lonc=115 +alpha=53.3 +gamma=53.1 +k=0.9998 +x_0=5 +y_0=6 +ellps=evrstSS",
    "equidistant conic": "+proj=eqdc +lat_1=20 +lat_2=50 +lat_0=30 +lon_0=10 +x_0=1 +y_0=2 +datum=WGS84",
    "south orientated": "+proj=tmerc +axis=wsu +lat_0=0 +lon_0=29 +k=1 +x_0=0 +y_0=0 +ellps=WGS84",
    "mollweide, by a WKT citation": "+proj=moll +lon_0=5 +x_0=0 +y_0=0 +datum=WGS84",
    "geographic of an ellipsoid": "+proj=longlat +a=6378000 +b=6357000",
    "geographic of a sphere": f"+proj=longlat {SPHERE}",
    "geographic from Paris": "+proj=longlat +ellps=clrk80ign +pm=paris",
}  # fmt: skip


# GDAL 3.10 takes the azimuth for the rotation when it reads Esri's form of this one.
MISREAD_BY_GDAL = ("hotine at centre", "ESRI_PE")


@pytest.mark.parametrize(
    ("name", "flavour"),
    some([pair for pair in itertools.product(DEFINED, ("STANDARD", "ESRI_PE")) if pair != MISREAD_BY_GDAL], 6),
)
def test_user_defined_crs_places_points_where_gdals_does(name, flavour):
    ours, gdal = written(CRS.from_string(DEFINED[name]), GEOTIFF_KEYS_FLAVOR=flavour)
    if gdal is None or not gdal.to_wkt():
        assert ours is None
        return
    assert ours is not None
    one, two = pyproj.CRS(ours), pyproj.CRS.from_wkt(gdal.to_wkt())
    centre = pyproj.CRS(DEFINED[name]).to_dict()
    lon = np.array([-3.0, 0, 4, 7]) + float(centre.get("lon_0", centre.get("lonc", 0)))
    lat = np.array([-2.0, 0, 3, 5]) + float(centre.get("lat_0", 0)) * 0.9
    points = [
        pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(lon, lat) for crs in (one, two)
    ]
    np.testing.assert_allclose(points[0], points[1], rtol=0, atol=1e-3)
    assert one.ellipsoid.semi_major_metre == pytest.approx(two.ellipsoid.semi_major_metre)
    assert one.ellipsoid.inverse_flattening == pytest.approx(two.ellipsoid.inverse_flattening)
    if one.is_projected:
        assert one.axis_info[0].unit_conversion_factor == pytest.approx(two.axis_info[0].unit_conversion_factor)


def keys(entries, doubles=(), text=""):
    tags, tiles = grey(np.ones((4, 4), "u1"))
    words = [1, 1, 0, len(entries), *(word for entry in entries for word in entry)]
    tags |= {34735: (SHORT, words)}
    if doubles:
        tags[34736] = (DOUBLE, doubles)
    if text:
        tags[34737] = (ASCII, text)
    return header_of(tiff((tags, tiles))).crs


def test_no_keys_no_crs():
    assert keys([]) is None
    assert keys([(1025, 0, 1, 1)]) is None


def test_codes_without_a_model_type():
    assert keys([(3072, 0, 1, 32633)]) == "EPSG:32633"
    assert keys([(2048, 0, 1, 4326)]) == "EPSG:4326"


def test_esri_codes_are_understood():
    crs = keys([(1024, 0, 1, 1), (3072, 0, 1, 54030)])
    assert pyproj.CRS(crs).to_authority() == ("ESRI", "54030")


def test_unknown_codes_and_broken_entries_say_nothing():
    assert keys([(1024, 0, 1, 1), (3072, 0, 1, 1)]) is None
    assert keys([(1024, 0, 1, 1), (3072, 0, 1, 32767), (3075, 0, 1, 77)]) is None
    assert keys([(1024, 0, 1, 1), (3072, 34736, 9, 500)], [1.0]) is None
    assert keys([(1024, 0, 1, 2), (2048, 0, 1, 32767), (2057, 34736, 1, 0)], [-5.0]) is None


def test_wkt_in_a_citation():
    wkt = pyproj.CRS("ESRI:54009").to_wkt("WKT1_ESRI")
    text = f"ESRI PE String = {wkt}|"
    crs = keys([(1024, 0, 1, 1), (3072, 0, 1, 32767), (3073, 34737, len(text), 0)], text=text)
    assert pyproj.CRS(crs).equals(pyproj.CRS("ESRI:54009"), ignore_axis_order=True)


def test_a_defined_crs_that_epsg_has_is_given_by_its_code():
    crs, _ = written(CRS.from_string("+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=0 +x_0=0 +y_0=0 +datum=WGS84"))
    assert crs == "EPSG:3031"
