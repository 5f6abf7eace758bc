"""Tells how much main memory this process may take, from which the defaults of bounds in bytes follow."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

_UNKNOWN = 8 * 1024**3


def machine_memory(root: Path = Path("/")) -> int:
    """Bytes of main memory, or of the part that a container or service is given; 8 GiB where the system does not tell.

    Args:
        root: Where the system's files `proc` and `sys` are.
    """
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        whole = _UNKNOWN
    return min([whole, *_control_group_limits(root)])


def _control_group_limits(root: Path) -> list[int]:
    """Limits of the control groups that this process is in, of version 1 and 2: its own and those around it."""
    limits = []
    groups = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            place, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            place, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = PurePosixPath(path.lstrip("/"))
        # In a container, the path may be the host's, while what is mounted is the container's own group.
        words = [_text(place / group / name).strip() for group in (own, *own.parents)]
        limits += [int(word) for word in words if word.isdecimal()]
    return limits


def _text(file: Path) -> str:
    """Read a file; an empty text where there is none."""
    try:
        return file.read_text("utf-8")
    except OSError:
        return ""
