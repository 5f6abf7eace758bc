"""The demo says what is in the files: run on altered copies, with nothing in HOME, it says other things."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import rasterio
import rasterio.warp

from rasteret_sql.cli.contact_sheet import contact_sheet
from tests.cli.processes import SHELL, environment
from tests.sampling import some

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
CLEAR_DAY = "sentinel2-eopatch-slovenia/S2_L1C_EOPATCH_20160814T100604"


def demo(home: Path, *arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [*SHELL, "demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(home) | {"COLUMNS": "110"},
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def rewrite(path: Path, change) -> None:
    """Give a file other pixels, all else alike."""
    with rasterio.open(path) as image:
        pixels, profile = image.read(), image.profile
    with rasterio.open(path, "w", **profile) as image:
        image.write(change(pixels).astype(profile["dtype"]))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    home = folder / "home"
    home.mkdir()
    before = os.times()
    out = demo(home, cwd=folder)
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    return folder, home, out, worked


def row(text: str, *parts: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith("│") and all(part in line for part in parts)]
    assert len(lines) == 1, (parts, lines)
    return [cell.strip() for cell in lines[0].strip("│").split("│")]


@pytest.mark.exhaustive
def test_it_takes_seconds_and_leaves_home_alone(first):
    _, home, _, seconds = first
    assert seconds < 30
    assert list(home.iterdir()) == []


@pytest.mark.exhaustive
def test_it_fits_a_terminal(first):
    data = str(DATA)
    assert [line for line in first[2].splitlines() if len(line) > 110 and data not in line] == []


@pytest.mark.exhaustive
def test_it_shows_collections_series_zones_points_and_costs(first):
    out = first[2]
    for name, scenes in (("naip", 6), ("ndvi", 68), ("ny", 19), ("sahara", 1)):
        assert row(out, f" {name} ", "-")[1] == str(scenes)
    month = row(out, " 2016-08 ")
    assert float(month[2]) == pytest.approx(0.74, abs=0.05)
    assert len(re.findall(r"│ 201[567]-\d\d ", out)) > 20
    assert row(out, "Long Island", " 2018-07-10 ")
    assert row(out, "m_3008501_ne_16_1")
    assert "Done in" in out
    assert "rasteret-sql --workspace rasteret-demo/workspace" in out


@pytest.mark.exhaustive
def test_points_are_the_pixels_of_the_file(first):
    with rasterio.open(DATA / "naip" / "m_3008501_ne_16_1_20110815" / "image.tif") as image:
        cells = row(first[2], "m_3008501_ne_16_1")
        xs, ys = rasterio.warp.transform("EPSG:4326", image.crs, [float(cells[2])], [float(cells[3])])
        # The table shows the place with four digits: the pixel is this one or the next.
        line, column = image.index(xs[0], ys[0])
        near = image.read(window=((line - 1, line + 2), (column - 1, column + 2))).reshape(4, 9).T.tolist()
    assert [int(cell) for cell in cells[4:]] in near


@pytest.mark.exhaustive
def test_the_contact_sheet_is_a_picture(first):
    folder, _, out, _ = first
    sheet = imagecodecs.png_decode((folder / "rasteret-demo" / "contact_sheet.png").read_bytes())
    count = int(re.search(r"(\d+) pictures", out)[1])
    assert sheet.shape == (-(-count // 8) * (202 + 4) + 4, 8 * (200 + 4) + 4, 4)
    assert len(np.unique(sheet.reshape(-1, 4), axis=0)) > 50


@pytest.mark.exhaustive
def test_altered_files_give_altered_numbers(first, tmp_path):
    data, home = tmp_path / "copy", tmp_path / "home"
    shutil.copytree(DATA, data)
    home.mkdir()
    rewrite(data / CLEAR_DAY / "ndvi.tif", lambda pixels: np.full_like(pixels, 0.125))
    rewrite(
        data / "naip/m_3008501_ne_16_1_20110815/image.tif",
        lambda p: np.full_like(p, 1) * np.array([[[7]], [[8]], [[9]], [[10]]]),
    )
    out = demo(home, "--data", data, "--output", tmp_path / "made", cwd=tmp_path)
    assert row(out, "m_3008501_ne_16_1")[4:] == ["7", "8", "9", "10"]
    before, after = row(first[2], " 2016-08 "), row(out, " 2016-08 ")
    assert before[1] == after[1]
    scenes = int(before[1])
    for column in (2, 4):
        assert float(after[column]) < float(before[column])
        # One of the month's scenes is 0.125 now.
        rest = float(after[column]) * scenes - 0.125
        assert 0 < rest < scenes
    assert row(out, " 2016-06 ") == row(first[2], " 2016-06 ")
    assert (tmp_path / "made" / "contact_sheet.png").read_bytes() != (
        first[0] / "rasteret-demo" / "contact_sheet.png"
    ).read_bytes()
    # Again in the same place, with the files changed once more: nothing old is shown.
    rewrite(data / "naip/m_3008501_ne_16_1_20110815/image.tif", lambda p: np.full_like(p, 77))
    out = demo(home, "--data", data, "--output", tmp_path / "made", cwd=tmp_path)
    assert row(out, "m_3008501_ne_16_1")[4:] == ["77"] * 4


AS_ANY_USER = """
import ctypes, os, sys
from rasteret_sql.cli.main import main

if os.geteuid() == 0:  # whom no folder refuses, but for the capabilities that are dropped here: capset(2)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform != "linux" and hasattr(os, "geteuid") and os.geteuid() == 0, reason="no capset")
@pytest.mark.skipif(sys.platform == "win32", reason="no such modes of folders")
@pytest.mark.parametrize(("arguments", "folder"), some([((), "rasteret-demo"), (("--output", "a/b"), "a/b")], 9))
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, arguments, folder):
    place = tmp_path / "kept"
    place.mkdir()
    place.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", AS_ANY_USER, "demo", *arguments],
        capture_output=True,
        text=True,
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert done.stderr == (
        f"Error: the demo cannot write to {place / folder}: Permission denied; name another folder with --output DIR\n"
    )
    assert done.returncode == 1
    assert not any(place.iterdir())


def test_a_folder_without_the_data_is_told(tmp_path):
    done = subprocess.run(
        [*SHELL, "demo", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=False,
    )
    assert done.returncode == 1
    assert "holds no catalog/catalog.json" in done.stderr


@pytest.mark.parametrize("samples", [None, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_sheet_takes_every_kind_of_picture(samples, dtype):
    shape = (3, 5) if samples is None else (3, 5, samples)
    png = imagecodecs.png_encode(np.full(shape, np.iinfo(dtype).max // 2, dtype))
    small = imagecodecs.png_encode(np.zeros((2, 2), "u1"))
    sheet = imagecodecs.png_decode(contact_sheet([png, small, png], columns=2, scale=2, gap=1))
    assert sheet.shape == (2 * 7 + 1, 2 * 11 + 1, 4)
    assert sheet[1, 1, 0] in (127, 128)
    assert sheet[1, 12].tolist() == [0, 0, 0, 255]
    assert sheet[-2, -2].tolist() == [255] * 4


@pytest.mark.exhaustive
def test_each_picture_has_its_day_in_the_same_place(first):
    """The oracle is the file of that day, coloured here: where its NDVI is highest the picture is yellow, not blue."""
    folder, _, out, _ = first
    sheet = imagecodecs.png_decode((folder / "rasteret-demo" / "contact_sheet.png").read_bytes())
    rows = [line.split() for line in re.findall(r"^ {4}((?:20\d\d-\d\d-\d\d ?\s?)+)$", out, re.MULTILINE)]
    assert sum(map(len, rows)) == int(re.search(r"(\d+) pictures", out)[1])
    (row, column), *_ = [(r, c) for r, days in enumerate(rows) for c, day in enumerate(days) if day == "2016-08-14"]
    cell = sheet[4 + row * 206 : 206 + row * 206 : 2, 4 + column * 204 : 204 + column * 204 : 2].astype(int)
    with rasterio.open(DATA / CLEAR_DAY / "ndvi.tif") as image:
        ndvi = image.read(1)
    assert cell.shape[:2] == ndvi.shape
    red_over_blue = cell[..., 0] - cell[..., 2]
    dense, bare = ndvi > np.quantile(ndvi, 0.9), ndvi < np.quantile(ndvi, 0.1)
    assert red_over_blue[dense].mean() > red_over_blue[bare].mean() + 50
    assert np.corrcoef(cell[..., 1].ravel(), np.clip(ndvi, 0, 0.9).ravel())[0, 1] > 0.95


@pytest.mark.exhaustive
def test_what_it_says_to_do_next_works(first):
    folder, home, out, _ = first
    lines = re.findall(r"^    rasteret-sql (--workspace .*)$", out, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line) if " -c " in line else [*shlex.split(line), "-c", "FROM rasteret.ny"]
        done = subprocess.run(
            [*SHELL, *words], capture_output=True, text=True, cwd=folder, env=environment(home), timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "19 rows" in done.stdout
