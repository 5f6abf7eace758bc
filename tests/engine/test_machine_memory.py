"""Memory that the process may take: that of the machine, or of its control groups, as Linux lays their files out."""

import os

import pytest

from rasteret_sql.engine.machine_memory import machine_memory

WHOLE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None


@pytest.mark.skipif(WHOLE is None, reason="this system does not tell its memory")
@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, WHOLE),
        ("0::/\n", {"memory.max": "max\n"}, WHOLE),
        ("0::/\n", {"memory.max": "104857600\n"}, 100 << 20),
        ("0::/user.slice/a.scope\n", {"user.slice/memory.max": "104857600\n", "memory.max": "max\n"}, 100 << 20),
        ("0::/a/b\n", {"a/memory.max": "209715200\n", "a/b/memory.max": "104857600\n"}, 100 << 20),
        ("0::/docker/0123\n", {"memory.max": "104857600\n"}, 100 << 20),
        ("9:cpu:/\n8:cpuset,memory:/j\n", {"memory/j/memory.limit_in_bytes": "104857600\n"}, 100 << 20),
        ("8:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, WHOLE),
        ("8:cpu:/\n", {"memory/memory.limit_in_bytes": "104857600\n"}, WHOLE),
    ],
)
def test_the_least_of_machine_and_control_groups(tmp_path, groups, files, expected):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "sys" / "fs" / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert machine_memory(tmp_path) == expected
