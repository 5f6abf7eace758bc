"""Files of rows: one path each, and each file whole or not at all."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError, StorageError
from rasteret_sql.io.write_file import write_file
from rasteret_sql.library.file_writes import FileWrites, columns_of


def test_a_template_names_columns():
    assert columns_of("a/{id}_{datetime:%Y%m%d}.tif") == [("id", None), ("datetime", "%Y%m%d")]
    writes = FileWrites("a/{id}_{datetime:%Y%m%d}.tif")
    assert str(writes.path(["x.1", "20240305"])) == "a/x.1_20240305.tif"


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a\\b", "a\0", "../../etc/passwd", None])
def test_a_value_does_not_leave_its_directory(value):
    with pytest.raises(InvalidArgumentError, match="of a row is"):
        FileWrites("a/{id}").path([value])


def test_rows_on_several_threads_do_not_share_a_path(tmp_path):
    writes = FileWrites(str(tmp_path / "{id}"))

    def write(number):
        try:
            writes.write(writes.path(["one"]), bytes([number]) * 1000)
        except InvalidArgumentError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(32))) == 1
    content = (tmp_path / "one").read_bytes()
    assert (len(content), len(set(content))) == (1000, 1)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        write_file(tmp_path / "directory", b"new")
    with pytest.raises(StorageError, match="cannot be written"):
        write_file(tmp_path / "file" / "below", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directory", "file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_statement_that_is_run_twice_writes_twice_and_planning_writes_nothing(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute("CREATE TABLE t AS SELECT range AS id, encode(range::VARCHAR) AS file FROM range(100)")
        con.execute(f"EXPLAIN FROM rasteret_write(t, '{tmp_path}/out/{{id}}.bin')").fetchall()
        assert not (tmp_path / "out").exists()
        con.execute("PREPARE w AS FROM rasteret_write(t, $1) LIMIT 3".replace("$1", f"'{tmp_path}/out/{{id}}.bin'"))
        for _ in range(2):
            assert len(con.execute("EXECUTE w").fetchall()) == 3
        con.execute(f"CREATE TABLE done AS FROM rasteret_write(t, '{tmp_path}/all/{{id}}.bin')")
        assert con.execute("SELECT count(*), sum(size) FROM done").fetchone() == (100, 190)
    assert len(list((tmp_path / "all").iterdir())) == 100
    assert (tmp_path / "all" / "71.bin").read_bytes() == b"71"
