"""Stands in for torchvision where none fits the PyTorch of these tests; see `tests/training/torchgeo_here.py`."""


def refuse(*_args, **_named):
    """Raise: nothing of this is to be used."""
    raise NotImplementedError("a stand-in of torchvision was used")
