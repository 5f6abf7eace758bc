"""`rasteret-sql collections`: builds, lists, inspects, grows, refreshes, exports and drops cached collections."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rasteret_sql.cli.arguments import (
    AS_JSON,
    Headers,
    bbox,
    date_range,
    document,
    header,
    header_of_variable,
    json_object,
    workspace,
)
from rasteret_sql.cli.messages import shown_warnings
from rasteret_sql.cli.output import Output
from rasteret_sql.cli.progress import ProgressDisplay
from rasteret_sql.engine.cancel import cancellation, watch_sigint
from rasteret_sql.errors import InvalidArgumentError, UnknownCollectionError
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.place.directory_names import plain_name
from rasteret_sql.index.place.workspace import describe, list_collections
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.library.build import build_dataset, build_stac
from rasteret_sql.library.build_from_files import build_files
from rasteret_sql.library.build_from_table import build_table
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.maintain import append_collection, drop_collection, facts_of, refresh_collection
from rasteret_sql.session.session import Session, new_session

_EPILOG = """\
examples:
  rasteret-sql collections build bay --dataset earthsearch/sentinel-2-l2a \\
      --bbox=-122.5,37.7,-122.3,37.9 --date-range 2024-06-01,2024-07-15
  rasteret-sql collections build dunes --stac-api ./catalog.json --collection sentinel-2
  rasteret-sql collections build fields --table items.parquet
  rasteret-sql collections build photos --files 'tifs/**/*.tif' --datetime '_(\\d{8})'
  rasteret-sql collections append bay --date-range 2024-07-16,2024-08-15
  rasteret-sql collections export bay ./shared/bay
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of `rasteret-sql collections`."""
    parsed = argparse.ArgumentParser(
        prog="rasteret-sql collections",
        description="The collections that are cached in a workspace.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared = argparse.ArgumentParser(add_help=False, parents=[AS_JSON])
    shared.add_argument(
        "-w",
        "--workspace-dir",
        "--workspace",
        type=workspace,
        metavar="DIR",
        help="where collections are kept: a directory or the URL of one (~/rasteret_workspace)",
    )
    shared.add_argument("--no-progress", action="store_true", help="draw no progress bars")
    work = argparse.ArgumentParser(add_help=False)
    work.add_argument(
        "--max-concurrent",
        type=int,
        default=DEFAULT_MAX_CONCURRENT,
        metavar="N",
        help="headers read at a time (%(default)s)",
    )
    search = argparse.ArgumentParser(add_help=False)
    search.add_argument("--bbox", type=bbox, metavar="W,S,E,N", help="lon/lat; --bbox=-122.5,... where it is negative")
    search.add_argument("--date-range", type=date_range, metavar="FROM,TO", help="ISO dates, both days included")
    search.add_argument("--query", type=document, metavar="QUERY", help="conditions on items, as JSON or SQL")
    search.add_argument("--stac-api", metavar="URL", help="a STAC API or static catalog")
    signing = argparse.ArgumentParser(add_help=False)
    signing.add_argument(
        "--header",
        type=header,
        action=Headers,
        dest="headers",
        metavar="'NAME: VALUE'",
        help="sent to the STAC server alone, to sign in; @FILE reads lines of a file, so that no other user sees it",
    )
    signing.add_argument(
        "--header-env",
        type=header_of_variable,
        action=Headers,
        dest="headers",
        metavar="NAME=VARIABLE",
        help="the same with the value that a variable of the environment has",
    )
    commands = parsed.add_subparsers(dest="command", metavar="COMMAND", required=True)

    build = commands.add_parser(
        "build", parents=[shared, work, search, signing], help="build a collection, or find it cached"
    )
    build.add_argument("name", metavar="NAME")
    build.add_argument("--dataset", metavar="ID", help="a registered dataset; `datasets list` shows them")
    build.add_argument("--collection", metavar="ID", help="STAC collection, with --stac-api")
    build.add_argument("--table", metavar="PATH", help="Parquet with a row for each scene, in place of a STAC API")
    build.add_argument(
        "--files",
        action="append",
        metavar="PATH",
        help="a TIFF, folder, pattern or prefix of an object store, in place of a catalog; may be given several times",
    )
    build.add_argument("--datetime", metavar="PATTERN", help="time in the path of a file: %%Y%%m%%d, or a regexp")
    build.add_argument("--id", metavar="REGEXP", help="scene in the path of a file")
    build.add_argument(
        "--bands", metavar="REGEXP", help="band in a file's name, or names of its samples: red,green,blue"
    )
    build.add_argument(
        "--band-map", type=json_object, metavar="JSON", help='band to asset, or pattern: {"B04": "*_B04*"}'
    )
    build.add_argument("--band-index-map", type=json_object, metavar="JSON", help="band to sample from 0")
    build.add_argument("--column-map", type=json_object, metavar="JSON", help="column of the table to its meaning")
    build.add_argument("--href-column", metavar="COLUMN", help="column of the table with the files' addresses")
    build.add_argument("--data-source", metavar="ID", default="", help="source kept with the index")
    build.add_argument("--force", action="store_true", help="build again although it is cached")
    build.set_defaults(run=_build)

    listing = commands.add_parser("list", parents=[shared], help="all collections of the workspace")
    listing.set_defaults(run=_list)

    info = commands.add_parser("info", parents=[shared], help="all that is known of a collection")
    info.add_argument("name", metavar="NAME")
    info.set_defaults(run=_info)

    append = commands.add_parser(
        "append", parents=[shared, work, search, signing], help="add newer scenes, or another area's"
    )
    append.add_argument("name", metavar="NAME")
    append.set_defaults(run=_append)

    refresh = commands.add_parser(
        "refresh", parents=[shared, work, signing], help="read again what changed at the source"
    )
    refresh.add_argument("name", metavar="NAME")
    refresh.add_argument("--stac-api", metavar="URL", help="where the source is today")
    refresh.set_defaults(run=_refresh)

    drop = commands.add_parser("drop", aliases=["delete"], parents=[shared], help="remove a collection and its files")
    drop.add_argument("name", metavar="NAME")
    drop.add_argument("-y", "--yes", action="store_true", help="do not ask")
    drop.set_defaults(run=_drop)

    export = commands.add_parser("export", parents=[shared], help="write a portable copy, which rasteret reads, too")
    export.add_argument("name", metavar="NAME")
    export.add_argument("path", metavar="PATH", help="directory, or the URL of one in an object store")
    export.set_defaults(run=_export)
    return parsed


def main(argv: Sequence[str]) -> int:
    """Run `rasteret-sql collections`; gives its exit code.

    Raises:
        RasteretError: what was asked for cannot be done.
    """
    arguments = parser().parse_args(argv)
    output = Output()
    watch_sigint()
    try:
        arguments.run(arguments, new_session(arguments.workspace_dir), output)
    finally:
        output.close()
    return 0


def _build(arguments: argparse.Namespace, session: Session, output: Output) -> None:
    sources = [name for name in ("dataset", "table", "files") if getattr(arguments, name)]
    if arguments.stac_api and not arguments.dataset:
        sources.append("stac-api")
    if len(sources) != 1:
        given = f"not {' and '.join(f'--{name}' for name in sources)}" if sources else "and none was given"
        raise InvalidArgumentError(
            f"a build has one source, {given}: --dataset ID, --stac-api URL, --table PATH or --files PATH"
        )
    index = _with_progress(arguments, lambda progress: _built(arguments, session, sources[0], progress))
    _tell(arguments, output, _facts(index), f"{index.name}: {index.count_rows()} scenes at {index.place}")


def _built(arguments: argparse.Namespace, session: Session, source: str, progress: ProgressDisplay) -> CollectionIndex:
    options = BuildOptions(
        name=arguments.name,
        bbox=arguments.bbox,
        date_range=arguments.date_range,
        force=arguments.force,
        max_concurrent=arguments.max_concurrent,
        progress=progress,
        cancelled=cancellation(),
    )
    if source == "dataset":
        asked = replace(options, stac_api=arguments.stac_api, query=arguments.query, headers=arguments.headers)
        return build_dataset(session, arguments.dataset, asked)
    options = replace(
        options,
        band_map=arguments.band_map,
        band_index_map=arguments.band_index_map,
        data_source=arguments.data_source,
    )
    if source == "files":
        bands = arguments.bands
        names = bands.split(",") if bands and "," in bands and "(" not in bands else bands
        naming = {"id": arguments.id, "datetime": arguments.datetime, "bands": names}
        return build_files(session, arguments.files, naming, options)
    if source == "table":
        if arguments.headers:
            raise InvalidArgumentError("--header is for a STAC server; a table is read without")
        of_table = replace(
            options,
            column_map=arguments.column_map,
            href_column=arguments.href_column,
            filter_expr=arguments.query,
            enrich_cog=True,
        )
        return build_table(session, arguments.table, of_table)
    of_stac = replace(
        options,
        stac_api=arguments.stac_api,
        collection=arguments.collection,
        query=arguments.query,
        headers=arguments.headers,
    )
    return build_stac(session, of_stac)


def _list(arguments: argparse.Namespace, session: Session, output: Output) -> None:
    found = list_collections(session.workspace_dir, session.stores)
    if arguments.json:
        _json(output, [_plain(entry) for entry in found])
    elif found:
        columns = ["name", "scenes", "from", "to", "bands", "data_source", "path"]
        rows = [
            (
                entry["name"],
                str(entry["size"]),
                *(entry["date_range"] or (None, None)),
                ", ".join(entry["bands"]),
                entry["data_source"],
                entry["path"],
            )
            for entry in found
        ]
        output.texts(columns, rows)
    else:
        output.text(f"no collection is cached in {session.workspace_dir}; `rasteret-sql collections build` makes one")


def _info(arguments: argparse.Namespace, session: Session, output: Output) -> None:
    facts = _facts(_open(arguments, session))
    if arguments.json:
        _json(output, facts)
        return
    width = max(map(len, facts))
    output.text("\n".join(f"{name:<{width}}  {_words(value)}" for name, value in facts.items() if value is not None))


def _append(arguments: argparse.Namespace, session: Session, output: Output) -> None:
    index = _open(arguments, session)
    done = _with_progress(
        arguments,
        lambda progress: append_collection(
            session,
            index,
            BuildOptions(
                bbox=arguments.bbox,
                date_range=arguments.date_range,
                query=arguments.query,
                stac_api=arguments.stac_api,
                headers=arguments.headers,
                max_concurrent=arguments.max_concurrent,
                progress=progress,
                cancelled=cancellation(),
            ),
        ),
    )
    says = f"{index.name}: {done.added} of {done.found} scenes were new; it has {done.scenes} now"
    _tell(arguments, output, facts_of(index, done), says)


def _refresh(arguments: argparse.Namespace, session: Session, output: Output) -> None:
    index = _open(arguments, session)
    done = _with_progress(
        arguments,
        lambda progress: refresh_collection(
            session,
            index,
            BuildOptions(
                stac_api=arguments.stac_api,
                headers=arguments.headers,
                max_concurrent=arguments.max_concurrent,
                progress=progress,
                cancelled=cancellation(),
            ),
        ),
    )
    says = (
        f"{index.name}: {done.checked} scenes checked, {done.changed} read again, {done.added} added, {done.gone} gone"
    )
    _tell(arguments, output, facts_of(index, done), says)


def _drop(arguments: argparse.Namespace, session: Session, output: Output) -> None:
    index = _open(arguments, session)
    scenes = index.count_rows()
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise InvalidArgumentError(f'"{index.name}" would be removed for good; add --yes where nobody can be asked')
        sys.stderr.write(f"Remove {index.name}, {scenes} scenes, at {index.place}? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            output.text("nothing was removed")
            return
    drop_collection(session, index.name, cancelled=cancellation())
    facts = {"name": index.name, "scenes": scenes, "path": index.place}
    _tell(arguments, output, facts, f"removed {index.name}, {scenes} scenes")


def _export(arguments: argparse.Namespace, session: Session, output: Output) -> None:
    index = _open(arguments, session)
    target = os.fspath(export_collection(index, arguments.path, stores=session.stores))
    facts = {"name": index.name, "scenes": index.count_rows(), "path": target}
    _tell(arguments, output, facts, f"wrote {index.name}, {index.count_rows()} scenes, to {target}")


def _open(arguments: argparse.Namespace, session: Session) -> CollectionIndex:
    """By name, by name of its directory, or by the start of either where only one has it."""
    try:
        return session.open(arguments.name)
    except UnknownCollectionError:
        starts = [
            entry
            for entry in list_collections(session.workspace_dir, session.stores)
            if any(text.startswith(arguments.name) for text in (entry["name"], plain_name(Path(entry["path"]).name)))
        ]
        if len(starts) != 1:
            raise
        return session.open(starts[0]["name"])


def _facts(index: CollectionIndex) -> dict[str, Any]:
    """All that is known of a collection, as JSON values."""
    entry = _plain(describe(index))
    start, end = entry.pop("date_range") or (None, None)
    entry.pop("size")
    return entry | {
        "scene_count": index.count_rows(),
        "date_start": start,
        "date_end": end,
        "description": index.description or None,
        "has_split_column": "split" in index.schema.names,
        "columns": list(index.scene_columns),
    }


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"created": entry["created"].isoformat(), "path": str(entry["path"])}


def _with_progress(arguments: argparse.Namespace, work: Callable[[ProgressDisplay], Any]) -> Any:
    with ProgressDisplay(wanted=not arguments.no_progress) as progress, shown_warnings(progress.aside):
        return work(progress)


def _tell(arguments: argparse.Namespace, output: Output, facts: dict[str, Any], says: str) -> None:
    if arguments.json:
        _json(output, facts)
    else:
        output.text(says)


def _json(output: Output, value: Any) -> None:
    output.text(json.dumps(value, indent=2))


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
