"""Writes a file of this machine whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rasteret_sql.errors import StorageError


def write_file(file: Path, data: bytes, *, durable: bool = True) -> None:
    """Write bytes beside the file, and move them to its place, whose directory is made.

    Args:
        file: its place; a link stays a link.
        data: what it contains then.
        durable: True: they are on the disk before they are moved, so that a loss of power leaves the old file or the
            new one; that takes some milliseconds. False: so it is only where the process is killed.

    Raises:
        StorageError: it cannot be written.
    """
    target = file.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "wb", dir=target.parent, prefix=f".{target.name[:180]}.", suffix=".part", delete=False
        ) as part:
            try:
                part.write(data)
                part.flush()
                if durable:
                    os.fsync(part.fileno())
                Path(part.name).chmod(target.stat().st_mode if target.exists() else 0o644)
                Path(part.name).replace(target)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror or error}") from error
