"""The examples of docs/torch.md, one after the other, on a collection of these tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra torchgeo")
pytest.importorskip("torchgeo", reason="needs the extra torchgeo")
import tests.training.torchgeo_here  # noqa: E402, F401, I001 - before TorchGeo
import torchgeo.samplers  # noqa: E402, F401

PAGE = Path(__file__).parents[2] / "docs" / "torch.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_examples_of_the_page(world):
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) == 4
    names = {"collection": world.collection}
    torch.manual_seed(0)
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert torch.isfinite(names["loss"])
    assert len(names["dataset"]) == 18
    assert names["around"][0]["image"].shape == (1, 16, 16)
    assert len(names["numbered"]) == sum(len(batch["chip"]) for batch in names["loader"]) == 36
    assert names["batch"]["image"].shape == (4, 2, 16, 16)
