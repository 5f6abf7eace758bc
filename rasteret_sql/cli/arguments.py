"""Arguments of commands, read and checked."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.places import Workspace, workspace_of

AS_JSON = argparse.ArgumentParser(add_help=False)
"""The option that all commands have."""
AS_JSON.add_argument("--json", action="store_true", help="write JSON, with all that is known")


def bbox(text: str) -> tuple[float, float, float, float]:
    """`west,south,east,north`."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not west,south,east,north, such as -122.5,37.7,-122.3,37.9"
        ) from None
    return west, south, east, north


def date_range(text: str) -> tuple[str, str]:
    """`from,to`; whether they are dates is for the search to say."""
    start, comma, end = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"{text!r} is not from,to, such as 2024-06-01,2024-07-15")
    return start.strip(), end.strip()


def json_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object, such as {{"B04": "red"}}')
    return value


def document(text: str) -> dict[str, Any] | str:
    """A JSON object, or text that is taken for SQL."""
    return json_object(text) if text.lstrip().startswith("{") else text


def workspace(text: str) -> Workspace:
    """A directory, or the URL of one."""
    try:
        return workspace_of(text)
    except InvalidArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
