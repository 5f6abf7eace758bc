"""`rasteret-sql doctor`: shows which credentials are there, and whether a dataset or file can be read with them."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rasteret_sql.cli.arguments import AS_JSON, workspace
from rasteret_sql.cli.messages import visible
from rasteret_sql.cli.output import Output
from rasteret_sql.index.place.location import DEFAULT_WORKSPACE, Workspace, workspace_of
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.clouds.registry import CLOUDS
from rasteret_sql.io.found_credentials import found_credentials, installed_extras
from rasteret_sql.io.redact import plain_text
from rasteret_sql.io.settings import io_settings
from rasteret_sql.library.probe import Probe, probe
from rasteret_sql.version import __version__

_EPILOG = """\
examples:
  rasteret-sql doctor                                   credentials, packages and settings of this machine
  rasteret-sql doctor earthsearch/sentinel-2-l2a        reads a little of the dataset's example scene
  rasteret-sql doctor bay                               the same of a cached collection
  rasteret-sql doctor s3://bucket/scene.tif --json      the same of one file, for programs

The exit code is 1 where what was asked for cannot be read. No credential is ever shown.
"""
_PACKAGES = ("duckdb", "pyarrow", "obstore", "numpy", "imagecodecs", "pystac-client", "shapely")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_WHEREABOUTS = (*(name for cloud in CLOUDS for name in cloud.whereabouts), *_PROXIES)
"""Variables that tell where requests go, and hold nothing secret but for what `safe_address` takes off."""


def parser() -> argparse.ArgumentParser:
    """The arguments of `rasteret-sql doctor`."""
    parsed = argparse.ArgumentParser(
        prog="rasteret-sql doctor",
        description="Shows which credentials are found for each provider, and whether a dataset's example scene, or a "
        "file, can be read with them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[AS_JSON],
    )
    parsed.add_argument(
        "target",
        nargs="?",
        metavar="DATASET",
        help="id of a dataset, name or directory of a collection, or address or path of a file",
    )
    parsed.add_argument(
        "-w",
        "--workspace-dir",
        "--workspace",
        dest="workspace",
        type=workspace,
        default=DEFAULT_WORKSPACE,
        metavar="DIR",
        help="where collections are kept: a directory or the URL of one (~/rasteret_workspace)",
    )
    return parsed


def main(argv: Sequence[str]) -> int:
    """Run `rasteret-sql doctor`; gives its exit code.

    Raises:
        RasteretError: there is no such dataset.
    """
    arguments = parser().parse_args(argv)
    output = Output()
    try:
        probed = probe(arguments.target, workspace_of(arguments.workspace)) if arguments.target else None
        report = _report(probed, arguments.workspace)
        output.text(json.dumps(report, indent=2, ensure_ascii=False) if arguments.json else _text(report, probed))
    finally:
        output.close()
    return 0 if probed is None or probed.is_reached else 1


def _report(probed: Probe | None, place: Workspace) -> dict[str, Any]:
    report: dict[str, Any] = {"credentials": [asdict(one) for one in found_credentials()]}
    if probed is not None:
        report["probe"] = asdict(probed) | {"is_reached": probed.is_reached}
        return report
    return report | {
        "extras": installed_extras(),
        "versions": {"python": platform.python_version(), "rasteret-sql": __version__} | _versions(),
        "workspace": plain_text(safe_address(str(place))),
        "environment": {name: _shown_variable(os.environ[name]) for name in _WHEREABOUTS if os.environ.get(name)},
        "settings": asdict(io_settings()),
    }


def _shown_variable(value: str) -> str:
    """An address without secrets; a proxy may be written without a scheme, `user:password@host:port`."""
    return plain_text(safe_address(value if "://" in value else value.rpartition("@")[2]))


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _text(report: dict[str, Any], probed: Probe | None) -> str:
    found = {
        one["provider"]: f"{'found' if one['found'] else 'none'}: {one['source']}; {one['effect']}"
        for one in report["credentials"]
    }
    parts = [_lines(found)]
    if probed is not None:
        parts.append(_lines(_shown(probed)))
        return "\n\n".join(parts)
    extras = ", ".join(f"{name} {'yes' if is_there else 'no'}" for name, is_there in report["extras"].items())
    versions = ", ".join(f"{name} {text}" for name, text in report["versions"].items())
    settings = {name: str(value) for name, value in report["settings"].items()}
    facts = {"extras": extras, "versions": versions, "workspace": report["workspace"]}
    parts.append(_lines(facts | report["environment"] | settings))
    return "\n\n".join(parts)


def _shown(probed: Probe) -> dict[str, str]:
    """The known facts, in the order in which they were found."""
    facts = {
        "asked for": probed.target,
        "scene": ", ".join(filter(None, (probed.scene, probed.band and f"band {probed.band}"))),
        "file": probed.address,
        "requests are": probed.credential,
        "region": probed.region,
        "image": probed.header,
        "search": _time(probed.search_seconds),
        "header": _time(probed.header_seconds),
        "latency": _time(probed.latency_seconds),
        "throughput": "" if probed.throughput is None else f"{probed.throughput / 1e6:.1f} MB/s, one request",
        "error": probed.error,
    }
    return {name: text for name, text in facts.items() if text} | {"can be read": "yes" if probed.is_reached else "no"}


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"


def _lines(facts: dict[str, str]) -> str:
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {visible(text)}" for name, text in facts.items())
