"""Programs of the authentication guide, as printed there. Only lines that are its prose are left out."""

PLANETARY_COMPUTER = """
import rasteret
from obstore.auth.planetary_computer import PlanetaryComputerCredentialProvider
# Create a backend with Planetary Computer credentials
backend = rasteret.create_backend(
credential_provider=PlanetaryComputerCredentialProvider(
"https://planetarycomputer.microsoft.com/api/sas/v1/token"
),
)
# Use the backend for building (COG header parsing)
collection = rasteret.build(
"pc/sentinel-2-l2a",
name="pc-example",
bbox=(-122.5, 37.7, -122.3, 37.9),
date_range=("2024-06-01", "2024-07-15"),
backend=backend,
)
# Use the backend for pixel reads
ds = collection.get_xarray(
geometries=(-122.45, 37.75, -122.35, 37.85),
bands=["B04", "B03", "B02"],
backend=backend,
)
"""

EARTHDATA = """
import rasteret
from obstore.auth.earthdata import NasaEarthdataCredentialProvider
# Create backend with Earthdata credentials
backend = rasteret.create_backend(
credential_provider=NasaEarthdataCredentialProvider(
credentials_url="https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials",
),
region="us-west-2", # LP DAAC data is in us-west-2
)
# Use with registered datasets
collection = rasteret.build(
"earthdata/hls", # Example (not pre-registered)
name="hls-example",
bbox=(-122.5, 37.7, -122.3, 37.9),
date_range=("2024-06-01", "2024-07-15"),
backend=backend,
)
"""

NETRC = """
machine urs.earthdata.nasa.gov
login YOUR_USERNAME
password YOUR_PASSWORD
"""

REQUESTER_PAYS = """
import rasteret
# For Landsat, credentials + requester-pays config are pre-registered
# You just need AWS credentials in your environment
collection = rasteret.build(
"earthsearch/landsat-c2-l2",
name="landsat-example",
bbox=(-122.5, 37.7, -122.3, 37.9),
date_range=("2024-06-01", "2024-07-15"),
)
"""

CUSTOM_S3_ANONYMOUS = """
import rasteret
backend = rasteret.create_backend(
region="us-east-1",
default_s3_config={
"region": "us-east-1",
"skip_signature": "true", # For anonymous access
},
)
"""

CUSTOM_S3_KEYS = """
# Or with explicit credentials
backend = rasteret.create_backend(
default_s3_config={
"region": "us-west-2",
"aws_access_key_id": "YOUR_KEY",
"aws_secret_access_key": "YOUR_SECRET",
},
)
collection = rasteret.build_from_stac(
name="custom-s3",
stac_api="https://stac.example.com/v1",
collection="my-collection",
bbox=(11.3, 48.1, 11.5, 48.3),
date_range=("2024-01-01", "2024-06-30"),
backend=backend,
)
"""

CLOUD_CONFIG = """
from rasteret import CloudConfig
# Register a cloud config for your dataset
CloudConfig.register(
"my-collection",
CloudConfig(
provider="aws",
requester_pays=True,
region="eu-central-1",
url_patterns={
"https://cdn.example.com/": "s3://my-bucket/",
},
),
)
# Now Rasteret will auto-create a backend for this dataset
collection = rasteret.build(
"my-org/my-collection",
name="example",
bbox=(11.3, 48.1, 11.5, 48.3),
date_range=("2024-01-01", "2024-06-30"),
)
"""

BUILD_TIME = """
backend = rasteret.create_backend(...)
collection = rasteret.build(
"pc/sentinel-2-l2a",
name="example",
bbox=BBOX,
date_range=DATE_RANGE,
backend=backend, # Used for COG header parsing
)
"""

READ_TIME = """
ds = collection.get_xarray(
geometries=aoi,
bands=["B04", "B03", "B02"],
backend=backend, # Used for pixel reads
)
"""

TORCHGEO = """
# Or with TorchGeo
dataset = collection.to_torchgeo_dataset(
bands=["B04", "B03", "B02"],
chip_size=256,
backend=backend,
)
"""

REGION_MISMATCH = """
backend = rasteret.create_backend(region="us-west-2")
"""

SENTINEL_2 = """
import rasteret
from obstore.auth.planetary_computer import PlanetaryComputerCredentialProvider
backend = rasteret.create_backend(
credential_provider=PlanetaryComputerCredentialProvider(
"https://planetarycomputer.microsoft.com/api/sas/v1/token"
),
)
collection = rasteret.build(
"pc/sentinel-2-l2a",
name="pc-s2",
bbox=(11.3, 48.1, 11.5, 48.3),
date_range=("2024-06-01", "2024-06-30"),
backend=backend,
)
ds = collection.get_xarray(
geometries=(11.35, 48.15, 11.45, 48.25),
bands=["B04", "B03", "B02"],
backend=backend,
)
"""

LANDSAT = """
import rasteret
# Ensure AWS credentials are configured
collection = rasteret.build(
"earthsearch/landsat-c2-l2",
name="landsat-aws",
bbox=(-122.5, 37.7, -122.3, 37.9),
date_range=("2024-06-01", "2024-06-30"),
)
ds = collection.get_xarray(
geometries=(-122.45, 37.75, -122.35, 37.85),
bands=["B4", "B5"], # Red, NIR
)
"""

_CHANGES = {
    "import rasteret\n": "import rasteret_sql as rasteret\n",
    "from rasteret import": "from rasteret_sql import",
    # obstore's takes the address of a container; this one takes the token endpoint's, as the guide has it
    "from obstore.auth.planetary_computer import PlanetaryComputerCredentialProvider": (
        "from rasteret_sql import SasTokenEndpoint as PlanetaryComputerCredentialProvider"
    ),
}


def changed(snippet: str) -> str:
    """The program with its imports changed."""
    for theirs, ours in _CHANGES.items():
        snippet = snippet.replace(theirs, ours)
    return snippet
