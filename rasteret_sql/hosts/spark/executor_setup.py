"""`Setup`: says how executors open collections and reach files, in words that may lie in a plan."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.index.place.location import Workspace, is_remote, workspace_of
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.library.named_backends import SECRET_KEYS
from rasteret_sql.library.settings import SETTINGS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BACKEND_WORDS = ("credential_provider", "credentials_url", "profile", "region", "default_s3_config", "cloud_config")
"""Arguments of rasteret_create_backend that a plan may carry: `headers` are secrets."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The surroundings of calls on executors. It has no secrets: plans are shown, logged and kept."""

    workspace_dir: str
    """Directory or URL of the collections, as executors reach it."""
    collections: tuple[str, ...] = ()
    """Names and paths of those in which a scene id is looked up where a call names none."""
    backend: str | None = None
    """Name of the backend that reads; None: the executor's own credentials."""
    backends: Mapping[str, Any] = field(default_factory=dict)
    """Name → `module:function` that makes it on the executor, or arguments of rasteret_create_backend."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """As of rasteret_settings."""

    def words(self) -> dict[str, Any]:
        """The same as JSON can have it."""
        return asdict(self)

    @property
    def workspace(self) -> Workspace:
        """The directory or URL of collections."""
        return workspace_of(self.workspace_dir)


def make_setup(
    workspace_dir: str | os.PathLike[str] | None = None,
    collections: Sequence[str | os.PathLike[str]] = (),
    backend: str | None = None,
    backends: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Setup:
    """Check what a user says of executors.

    Raises:
        InvalidArgumentError: something cannot be used, or is a secret.
    """
    if isinstance(collections, str | os.PathLike):
        collections = (collections,)
    named = {name: _backend(name, value) for name, value in (backends or {}).items()}
    if backend is not None and not isinstance(backend, str):
        raise InvalidArgumentError(
            f"backend is the name of one of backends, not of type {type(backend).__name__}: an object would be pickled "
            "with its keys. Say backends={'mine': 'module:function'}, whose function makes it on each executor"
        )
    if backend is not None and backend not in named:
        raise InvalidArgumentError(f'no backend "{backend}" in backends; {did_you_mean(backend, named)}')
    known = [setting.name for setting in SETTINGS]
    for name in settings or {}:
        if name not in known:
            raise InvalidArgumentError(f'no setting "{name}"; {did_you_mean(name, known)}')
    return Setup(
        _absolute(workspace_of(workspace_dir)),
        _collections(collections),
        backend,
        named,
        dict(settings or {}),
    )


def _collections(given: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Names as they are, and paths in full."""
    return tuple(_absolute(one) if _is_path(one) else os.fspath(one) for one in given)


def _is_path(collection: str | os.PathLike[str]) -> bool:
    text = os.fspath(collection)
    return not isinstance(collection, str) or "/" in text or text.endswith(".parquet")


def _absolute(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    return text if is_remote(text) else os.path.abspath(os.path.expanduser(text.removeprefix("file://")))  # noqa: PTH100, PTH111


def _backend(name: str, value: Any) -> Any:
    """A backend as a plan may carry it."""
    made_there = f"backends={{{name!r}: 'module:function'}}, whose function makes it on each executor"
    if isinstance(value, str):
        module, _, function = value.partition(":")
        if not (module and function.isidentifier()):
            raise InvalidArgumentError(f"backend {name!r} is {safe_address(value)!r}; expected {made_there}")
        return value
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(
            f"backend {name!r} is of type {type(value).__name__}, which would be pickled with its keys; say "
            f"{made_there}"
        )
    for word, given in value.items():
        if word == "headers":
            raise InvalidArgumentError(f"headers of backend {name!r} would lie in the plan; say {made_there}")
        if word not in _BACKEND_WORDS:
            near = did_you_mean(word, _BACKEND_WORDS)
            raise InvalidArgumentError(f'backend {name!r} has no argument "{word}"; {near}')
        for key, text in _texts(word, given):
            if key.lower().removeprefix("aws_") in SECRET_KEYS or safe_address(text) != text:
                raise InvalidArgumentError(
                    f"{key} of backend {name!r} is a secret that would lie in the plan; say {made_there}"
                )
    return json.loads(json.dumps(value))


def _texts(word: str, value: Any) -> Iterator[tuple[str, str]]:
    """The texts in a value, with the name of each."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _texts(str(name), one)
    else:
        yield word, value if isinstance(value, str) else ""


_setups: weakref.WeakKeyDictionary[SparkSession, Setup] = weakref.WeakKeyDictionary()


def keep_setup(spark: SparkSession, setup: Setup) -> None:
    """Let the calls of a session have these surroundings."""
    _setups[spark] = setup


def setup_of(spark: SparkSession) -> Setup:
    """The surroundings of the calls of a session; the default ones where it has none."""
    return _setups.get(spark) or make_setup()


def with_collection(setup: Setup, collection: str | os.PathLike[str]) -> Setup:
    """The same with one more collection, in which scene ids are looked up."""
    (name,) = _collections((collection,))
    return setup if name in setup.collections else replace(setup, collections=(*setup.collections, name))
