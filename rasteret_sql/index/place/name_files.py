"""Keeps the meaning of each name of a workspace in a small file, the same for every process.

`_names/{slug}-{digest of the name}.json` holds the name and where its collection is: the name of a directory of the
workspace, or the path or URL of what was loaded from elsewhere. It is replaced in one step, once the collection is
whole. A name without one means the only collection that was built under it; in a workspace of an earlier version the
newest of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InterruptedQueryError
from rasteret_sql.index.place.directory_names import slug
from rasteret_sql.index.place.location import Workspace, is_remote
from rasteret_sql.index.place.mirror import workspace_directory
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.remote_directory import ChangedMeanwhileError, HasStores
from rasteret_sql.locks import held_and_removed
from rasteret_sql.warning import warn

FOLDER = "_names"
_ATTEMPTS = 20
"""Of writers of one name at the same moment, the last one wins; each is turned away by those before it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The collection that a name means."""

    name: str
    """As it was given last; names are compared without regard to case."""
    place: str
    """Absolute path of a directory or file, or its URL."""
    is_elsewhere: bool
    """True where it lies outside of the workspace, having been loaded."""

    def lasts(self) -> bool:
        """True where something is there; of a URL that is not asked."""
        return is_remote(self.place) or Path(self.place).exists()


def meaning_of(workspace: Workspace, name: str, stores: HasStores | None = None) -> Meaning | None:
    """The meaning of a name, None where no file says it."""
    if isinstance(workspace, str):
        found = workspace_directory(workspace, stores).read(f"{FOLDER}/{_file(name)}")
        return None if found is None else _parsed(workspace, found[0])
    with suppress(FileNotFoundError, NotADirectoryError):
        return _parsed(workspace, (workspace / FOLDER / _file(name)).read_bytes())
    return None


def meanings(workspace: Workspace, stores: HasStores | None = None) -> list[Meaning]:
    """Of all names of a workspace that have a file."""
    texts: list[bytes] = []
    if isinstance(workspace, str):
        remote = workspace_directory(f"{workspace}/{FOLDER}", stores)
        answers = [remote.read(name) for name in sorted(remote.files()) if name.endswith(".json")]
        texts = [answer[0] for answer in answers if answer is not None]
    elif (workspace / FOLDER).is_dir():
        for file in sorted((workspace / FOLDER).glob("*.json")):
            with suppress(FileNotFoundError):  # dropped just now
                texts.append(file.read_bytes())
    return [meaning for text in texts if (meaning := _parsed(workspace, text)) is not None]


def stamp_of(workspace: Path, name: str) -> tuple[int, int, int] | None:
    """Differs once a name was given another meaning; None where no file says what it means."""
    try:
        stat = (workspace / FOLDER / _file(name)).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def give_meaning(workspace: Workspace, name: str, place: str | Path, stores: HasStores | None = None) -> Meaning | None:
    """Write what a name means from now on; a workspace that cannot be written keeps what it has, with a warning.

    Args:
        workspace: A directory, or the URL of one.
        name: The user's own name.
        place: Of the collection, which is whole.
        stores: By which a workspace elsewhere is reached; None: as any address.

    Returns:
        What it meant, None where no file said it.
    """
    where = os.fspath(place)
    if not is_remote(where):
        where = str(Path(where).absolute())
    try:
        return _replace(workspace, name, where, stores)
    except OSError as error:
        if isinstance(workspace, str) or _can_be_written(workspace):
            raise
        warn(
            f'"{name}" means {safe_address(where)} in this process alone: the workspace {workspace} cannot be written '
            f"({error.strerror or error})"
        )
        return None


def forget_meaning(workspace: Workspace, name: str, stores: HasStores | None = None) -> None:
    """A name means nothing any more."""
    if isinstance(workspace, str):
        workspace_directory(workspace, stores).remove([f"{FOLDER}/{_file(name)}"])
        return
    (workspace / FOLDER / _file(name)).unlink(missing_ok=True)
    with suppress(OSError):  # other names are there, or it is not
        (workspace / FOLDER).rmdir()


@contextmanager
def naming(workspace: Workspace, name: str, cancelled: Cancelled | None = None) -> Iterator[None]:
    """Be the only process that gives or takes a name; in an object store its conditional writes see to that."""
    if isinstance(workspace, str):
        yield
        return

    def wait(_seconds: float) -> None:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError(f'the wait for the name "{name}" was interrupted')

    folder = workspace / FOLDER
    try:
        with held_and_removed(folder / f".{_file(name)}.lock", wait):
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()


def _replace(workspace: Workspace, name: str, place: str, stores: HasStores | None) -> Meaning | None:
    """Write what a name means; gives what it meant. Nothing is written where it means that already."""
    said = meaning_of(workspace, name, stores)
    if said is not None and (said.place, said.name) == (place, name):
        return said
    parent, _, last = place.rpartition("/") if is_remote(place) else (str(Path(place).parent), "", Path(place).name)
    inside = parent == str(workspace if isinstance(workspace, str) else workspace.absolute())
    text = json.dumps({"name": name, "place": last if inside else place}, ensure_ascii=False).encode()
    if isinstance(workspace, str):
        return _replace_there(workspace, name, text, stores)
    with naming(workspace, name):
        if inside and not Path(place).exists():
            return said  # dropped since it was made, which the reader of it is told
        said = meaning_of(workspace, name)
        file = workspace / FOLDER / _file(name)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            with unfinished.open("xb") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    return said


def _replace_there(workspace: str, name: str, text: bytes, stores: HasStores | None) -> Meaning | None:
    remote = workspace_directory(workspace, stores)
    file = f"{FOLDER}/{_file(name)}"
    for attempt in range(_ATTEMPTS):
        found = remote.read(file)
        try:
            remote.write(file, text, replacing=found[1] if found else None)
        except ChangedMeanwhileError:
            if attempt + 1 == _ATTEMPTS:
                raise
        else:
            return None if found is None else _parsed(workspace, found[0])
    return None


def _file(name: str) -> str:
    digest = hashlib.sha256(name.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{slug(name, 'name')[:40]}-{digest}.json"


def _parsed(workspace: Workspace, text: bytes) -> Meaning | None:
    """None for what is no such file: the name then means what it would without one."""
    try:
        said = json.loads(text)
        name, place = said["name"], said["place"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(name, str) or not isinstance(place, str):
        return None
    if is_remote(place) or Path(place).is_absolute():
        return Meaning(name, place, is_elsewhere=True)
    inside = f"{workspace}/{place}" if isinstance(workspace, str) else str(workspace.absolute() / place)
    return Meaning(name, inside, is_elsewhere=False)


def _can_be_written(workspace: Path) -> bool:
    there = next((path for path in (workspace, *workspace.absolute().parents) if path.exists()), workspace)
    return os.access(there, os.W_OK)
