"""This project's half of the exchange, run by the Python that has it; `live.py` says what to do.

python ours.py make WORLD FOLDER        builds and exports each kind: FOLDER/ws, FOLDER/exports, FOLDER/tables
python ours.py read REQUESTS FOLDER     reads pixels and scenes: FOLDER/N.npy, FOLDER/answers.json
python ours.py list WORKSPACE FILE      what its listing says
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import rasteret_sql
from rasteret_sql import Collection


def make(world: Path, folder: Path) -> None:
    """Every kind from its items; then some as tables with a column of addresses, and as Arrow with headers."""
    kinds: dict[str, Any] = json.loads((world / "kinds.json").read_text("utf-8"))
    (folder / "tables").mkdir(parents=True)
    for name, kind in kinds.items():
        built = rasteret_sql.build_from_stac(
            name=f"Our {name}", stac_api=world / f"{name}.json", data_source=f"world/{name}",
            band_map=kind["band_map"], band_index_map=kind["samples"], workspace_dir=folder / "ws",
            date_range=kind["dates"],
        )  # fmt: skip
        built.export(folder / "exports" / name)
        pq.write_table(built.to_table(headers=True), folder / "tables" / f"{name}.parquet")
        if kind["samples"]:
            records = built.sql("SELECT id, datetime, geometry, assets.R.href AS path FROM scenes").to_arrow_table()
            table = rasteret_sql.build_from_table(
                records, name=f"{name}-records", href_column="path", band_index_map=kind["samples"], enrich_cog=True,
                workspace_dir=folder / "ws",
            )  # fmt: skip
            table.export(folder / "exports" / f"{name}-records")


def read(requests: Path, folder: Path) -> None:
    """Answer each request: pixels of one band of one scene, or what can be told of a collection."""
    folder.mkdir(parents=True)
    opened: dict[str, Collection] = {}
    answers: list[dict[str, Any]] = []
    for number, request in enumerate(json.loads(requests.read_text("utf-8"))):
        path = request["path"]
        if path not in opened:
            opened[path] = rasteret_sql.load(path)
        collection = opened[path]
        if "band" not in request:
            answers.append(_facts(collection))
            continue
        scene = collection.where(f"id = '{request['scene']}'")
        try:
            got = scene.get_numpy(tuple(request["area"]), [request["band"]], geometry_crs=request["epsg"])
        except ValueError as error:
            answers.append({"error": str(error)})
            continue
        np.save(folder / f"{number}.npy", got)
        answers.append({"file": f"{number}.npy"})
    (folder / "answers.json").write_text(json.dumps(answers))


def _facts(collection: Collection) -> dict[str, Any]:
    rows = collection.to_table(["id", "datetime", "proj:epsg"])
    return {
        "name": collection.name,
        "data_source": collection.data_source,
        "bands": collection.bands,
        "epsg": collection.epsg,
        "bounds": collection.bounds,
        "scenes": rows["id"].to_pylist(),
        "datetimes": rows["datetime"].cast(pa.string()).to_pylist(),
        "dates": [None if at is None else at.isoformat() for at in (collection.start_date, collection.end_date)],
    }


def listing(workspace: Path, file: Path) -> None:
    """What the listing says of each collection."""
    kept = ("name", "kind", "data_source", "date_range", "size")
    found = [{key: entry[key] for key in kept} for entry in Collection.list_collections(workspace)]
    file.write_text(json.dumps(found))


COMMANDS = {"make": make, "read": read, "list": listing}

if __name__ == "__main__":
    # Unreadable bands, and a scene without a date, are meant to be there.
    warnings.simplefilter("ignore", RuntimeWarning)
    COMMANDS[sys.argv[1]](*map(Path, sys.argv[2:]))
