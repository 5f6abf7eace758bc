"""`rasteret-sql datasets`: lists the datasets there are, and registers collections of this machine among them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.local_datasets import load_local_descriptors, local_path
from rasteret_sql.catalog.register import export_local_descriptor, unregister_local_descriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.cli.arguments import AS_JSON
from rasteret_sql.cli.messages import visible
from rasteret_sql.cli.output import Output
from rasteret_sql.errors import UnknownDatasetError, did_you_mean
from rasteret_sql.library.register import register_local

_EPILOG = """\
examples:
  rasteret-sql datasets search sentinel-2
  rasteret-sql datasets info earthsearch/sentinel-2-l2a
  rasteret-sql datasets register-local local/fields ./exports/fields --description "Fields, 2024"
  rasteret-sql datasets export-local local/fields fields.json
  rasteret-sql datasets unregister-local local/fields
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of `rasteret-sql datasets`."""
    parsed = argparse.ArgumentParser(
        prog="rasteret-sql datasets",
        description="The datasets that rasteret_build and build take by their id.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared = AS_JSON
    kept = argparse.ArgumentParser(add_help=False)
    kept.add_argument(
        "--registry-path", type=Path, metavar="FILE", help="file of local datasets (~/.rasteret/datasets.local.json)"
    )
    commands = parsed.add_subparsers(dest="command", metavar="COMMAND", required=True)

    listing = commands.add_parser("list", parents=[shared], help="all datasets")
    listing.add_argument("--search", metavar="WORD", help="those with the word in their id, name or description")
    listing.set_defaults(run=_list)

    search = commands.add_parser("search", parents=[shared], help="datasets with a word in id, name or description")
    search.add_argument("search", metavar="WORD")
    search.set_defaults(run=_list)

    info = commands.add_parser("info", parents=[shared], help="all that is known of a dataset")
    info.add_argument("id", metavar="ID")
    info.set_defaults(run=_info)

    register = commands.add_parser(
        "register-local", parents=[shared, kept], help="make a collection on this machine a dataset"
    )
    register.add_argument("id", metavar="ID", help="such as local/my-collection")
    register.add_argument("path", metavar="PATH", type=Path, help="directory or Parquet file of a collection")
    register.add_argument("--name", help="name for people; that of the collection by default")
    register.add_argument("--description", default="", help="one line for listings")
    register.add_argument(
        "--data-source", default="", help="where its scenes come from; the collection says by default"
    )
    register.set_defaults(run=_register)

    unregister = commands.add_parser("unregister-local", parents=[shared, kept], help="forget a local dataset")
    unregister.add_argument("id", metavar="ID")
    unregister.set_defaults(run=_unregister)

    export = commands.add_parser("export-local", parents=[shared, kept], help="write a descriptor to a JSON file")
    export.add_argument("id", metavar="ID")
    export.add_argument("output", metavar="FILE", type=Path)
    export.set_defaults(run=_export)
    return parsed


def main(argv: Sequence[str]) -> int:
    """Run `rasteret-sql datasets`; gives its exit code.

    Raises:
        RasteretError: what was asked for cannot be done.
    """
    arguments = parser().parse_args(argv)
    output = Output()
    try:
        arguments.run(arguments, output)
    finally:
        output.close()
    return 0


def _list(arguments: argparse.Namespace, output: Output) -> None:
    word = arguments.search
    found = DatasetRegistry.list() if word is None else DatasetRegistry.search(word)
    if arguments.json:
        _json(output, [one.to_dict() for one in found])
    elif found:
        columns = ["id", "name", "access", "from", "to", "license", "description"]
        rows = [tuple(_summary(one)[column] for column in columns) for one in found]
        output.texts(columns, rows)
    else:
        output.text(f'no dataset has "{word}" in its id, name or description')


def _summary(descriptor: DatasetDescriptor) -> dict[str, str | None]:
    start, end = descriptor.temporal_range or (None, None)
    return {
        "id": descriptor.id,
        "name": descriptor.name,
        "access": _access(descriptor),
        "from": start,
        "to": end,
        "license": descriptor.license,
        "description": descriptor.description,
    }


def _access(descriptor: DatasetDescriptor) -> str:
    kinds = {
        "static STAC" if descriptor.static_catalog else "STAC": descriptor.stac_api,
        "table": descriptor.build_source_uri,
        "collection": descriptor.collection_uri,
    }
    return ", ".join(kind for kind, address in kinds.items() if address) or "none"


def _info(arguments: argparse.Namespace, output: Output) -> None:
    descriptor = DatasetRegistry.require(arguments.id)
    if arguments.json:
        _json(output, descriptor.to_dict())
        return
    fields = {name: _words(value) for name, value in descriptor.to_dict().items()}
    shown = {name: text for name, text in fields.items() if text}
    width = max(map(len, shown))
    output.text("\n".join(f"{name:<{width}}  {visible(text)}" for name, text in shown.items()))


def _words(value: Any) -> str:
    """A value for people; empty where it says nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return str(value)


def _register(arguments: argparse.Namespace, output: Output) -> None:
    descriptor = register_local(
        arguments.id,
        arguments.path,
        name=arguments.name,
        description=arguments.description,
        data_source=arguments.data_source,
        registry_path=arguments.registry_path,
    )
    bands = ", ".join(descriptor.band_map or ())
    _done(
        arguments,
        output,
        descriptor,
        f"registered {descriptor.id} ({bands}) in {local_path(arguments.registry_path)}; "
        f"FROM rasteret_build('{descriptor.id}') opens it",
    )


def _unregister(arguments: argparse.Namespace, output: Output) -> None:
    removed = unregister_local_descriptor(arguments.id, arguments.registry_path)
    if removed is None:
        file = local_path(arguments.registry_path)
        known = [one.id for one in load_local_descriptors(file)]
        raise UnknownDatasetError(
            f'there is no local dataset "{arguments.id}" in {file}: {did_you_mean(arguments.id, known)}'
        )
    _done(arguments, output, removed, f"unregistered {removed.id}; its files stay where they are")


def _export(arguments: argparse.Namespace, output: Output) -> None:
    written = export_local_descriptor(arguments.id, arguments.output, arguments.registry_path)
    if arguments.json:
        _json(output, {"id": arguments.id, "path": str(written)})
    else:
        output.text(f"wrote the descriptor of {arguments.id} to {written}")


def _done(arguments: argparse.Namespace, output: Output, descriptor: DatasetDescriptor, says: str) -> None:
    if arguments.json:
        _json(output, descriptor.to_dict())
    else:
        output.text(says)


def _json(output: Output, value: Any) -> None:
    output.text(json.dumps(value, indent=2))
