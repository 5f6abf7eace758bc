"""Finds the example data: inside the installed package, or in the checkout that it is run from."""

from __future__ import annotations

from pathlib import Path

from rasteret_sql.errors import InvalidArgumentError, MissingObjectError, did_you_mean

CATALOG = "catalog/catalog.json"


def example_data_dir() -> Path:
    """The folder of example data.

    Raises:
        InvalidArgumentError: where it is neither in the package nor in the checkout.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "data", package.parent / "examples" / "data")
    for place in places:
        if (place / CATALOG).is_file():
            return place
    raise InvalidArgumentError(
        f"the example data is not installed (looked in {', '.join(map(str, places))}): install the package again, "
        "or name a copy with --data DIR"
    )


def example_path(name: str) -> str:
    """The path of a folder of the example data, or of a file in it.

    Raises:
        MissingObjectError: there is none of that name; the message names those that are there.
    """
    folder = example_data_dir()
    inside = (folder / name).resolve()
    if inside.is_relative_to(folder) and inside.exists() and inside != folder:
        return inside.as_posix()
    names = sorted(one.name for one in folder.iterdir() if one.is_dir())
    raise MissingObjectError(f'the example data has no "{name}": {did_you_mean(name, names, len(names))}')
