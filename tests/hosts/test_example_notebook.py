"""The notebook of examples runs in a kernel of Jupyter, and its cells show what is stored in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

for name in ("ipykernel", "xarray", "dask", "geopandas"):
    pytest.importorskip(name)
manager = pytest.importorskip("jupyter_client.manager")
pytestmark = pytest.mark.exhaustive
EXAMPLES = Path(__file__).parents[2] / "examples"


def text_of(kind, content):
    """What a message, or an output that is stored, shows; errors as the text of the exception."""
    if kind == "error":
        return f"{content['ename']}: {content['evalue']}"
    shown = content["text"] if kind == "stream" else content["data"]["text/plain"]
    return "".join(shown)


def test_arrays(tmp_path):
    cells = [one for one in json.loads((EXAMPLES / "arrays.ipynb").read_text())["cells"] if one["cell_type"] == "code"]
    assert len(cells) > 5
    (tmp_path / "data").symlink_to(EXAMPLES / "data")
    kernel, client = manager.start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    try:
        for cell in cells:
            shown = []
            client.execute_interactive(
                "".join(cell["source"]),
                timeout=120,
                output_hook=lambda message, shown=shown: shown.append((message["msg_type"], message["content"])),
            )
            kinds = {"stream", "execute_result", "error"}
            said = "".join(text_of(*one) for one in shown if one[0] in kinds)
            assert said == "".join(text_of(one["output_type"], one) for one in cell["outputs"])
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
