"""Makes TorchGeo importable where its torchvision is not: its own code runs, but for two things that are named here.

1. No torchvision fits the PyTorch of these tests. TorchGeo imports names of it, for datasets of pictures and to draw;
   GeoDataset, RasterDataset, their combinations and the samplers use none of them. Those of `stand_ins` raise when they
   are used.
2. Python 3.11 has no type parameters (PEP 695), which TorchGeo 0.10 uses once: in the annotations of
   `torchgeo.samplers.utils.convolution_arithmetic`. Its source is read without them.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

_GENERIC = "def convolution_arithmetic[T: (float, Timedelta)]("
_PLAIN = "def convolution_arithmetic("


class _OneSource(importlib.abc.MetaPathFinder):
    """Finds the module with type parameters, and reads it without them."""

    def find_spec(self, name, path=None, target=None):
        if name != "torchgeo.samplers.utils" or path is None:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found is not None and isinstance(found.loader, importlib.machinery.SourceFileLoader):
            found.loader = _Plain(name, found.loader.path)
        return found


class _Plain(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        source = self.get_data(self.path).decode()
        if _GENERIC in source:
            source = "from __future__ import annotations\n" + source.replace(_GENERIC, _PLAIN)
        return compile(source, self.path, "exec", dont_inherit=True)


if importlib.util.find_spec("torchvision") is None:
    sys.path.append(str(Path(__file__).with_name("stand_ins")))  # which processes that are spawned get, too
if sys.version_info < (3, 12):
    sys.meta_path.insert(0, _OneSource())
