"""Reads and checks the arguments of commands."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.location import Workspace, workspace_of

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


def header(text: str) -> dict[str, str]:
    """`Name: value`, or `@FILE` with such lines. No value is in the message."""
    lines = [text]
    if text.startswith("@"):
        try:
            lines = Path(text[1:]).expanduser().read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(f"{text[1:]} cannot be read: {error}") from None
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if line.strip() and not line.lstrip().startswith("#"):
            if not colon or not value.strip():
                raise argparse.ArgumentTypeError("a header is 'Name: value', or @FILE with a line for each")
            found[name.strip()] = value.strip()
    return found


def header_of_variable(text: str) -> dict[str, str]:
    """`Name=VARIABLE`: a header with the value that a variable of the environment has."""
    name, sign, variable = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError("expected Name=VARIABLE, such as Authorization=STAC_AUTHORIZATION")
    if not os.environ.get(variable):
        raise argparse.ArgumentTypeError(f"the variable {variable} is not set")
    return {name.strip(): os.environ[variable]}


class Headers(argparse.Action):
    """Gathers headers, however they are given."""

    def __call__(self, _parser: Any, namespace: argparse.Namespace, values: Any, _option: str | None = None) -> None:
        namespace.headers = {**(getattr(namespace, "headers", None) or {}), **values}


def workspace(text: str) -> Workspace:
    """A directory, or the URL of one."""
    try:
        return workspace_of(text)
    except InvalidArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
