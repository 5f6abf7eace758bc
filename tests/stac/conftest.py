from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stac.stac_items import make_item


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Write a JSON document below the test's directory."""

    def put(name: str, document: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return put


@pytest.fixture
def tree(write: Callable[[str, Any], Path]) -> Path:
    """catalog.json → north (a, b), south (c, and below it a catalog with d); hrefs are relative."""

    def links(**kinds: list[str]) -> list[dict[str, str]]:
        return [{"rel": kind, "href": href} for kind, hrefs in kinds.items() for href in hrefs]

    def collection(name: str, **kinds: list[str]) -> dict[str, Any]:
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        shared = {"stac_version": "1.0.0", "description": name, "license": "other", "extent": extent}
        return {"type": "Collection", "id": name, **shared, "links": links(**kinds)}

    write("north/a/a.json", make_item("a", "2024-01-01T10:30:00Z", 10, 50, collection="north"))
    write("north/b/b.json", make_item("b", "2024-01-31T23:30:00Z", 12, 50, collection="north"))
    write("south/c.json", make_item("c", "2024-02-01T00:00:00Z", 10, -40, properties={"eo:cloud_cover": 60}))
    write("south/deep/d.json", make_item("d", "2024-03-01T00:00:00Z", 179.5, -40))
    write("north/collection.json", collection("north", item=["./a/a.json", "./b/b.json"], root=["../catalog.json"]))
    write("south/collection.json", collection("south", item=["./c.json"], child=["deep/catalog.json"]))
    write(
        "south/deep/catalog.json",
        {"type": "Catalog", "id": "2024", "stac_version": "1.0.0", "description": "", "links": links(item=["d.json"])},
    )
    return write(
        "catalog.json",
        {
            "type": "Catalog",
            "id": "world",
            "stac_version": "1.0.0",
            "description": "",
            "links": links(child=["north/collection.json", "./south/collection.json"]),
        },
    )
