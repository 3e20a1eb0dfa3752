"""Loads PyTorch and a model in a thread without holding up the others."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_LARGE = ("libtorch_cpu.so", "libtorch.so", "libtorch_python.so")


@contextmanager
def without_collections() -> Iterator[None]:
    """While something large is loaded, runs no garbage collection, and takes what is there then out of later ones.

    A collection goes through all objects with the interpreter's lock held. PyTorch and a node have 250,000, which take
    0.4 s on a busy machine (measured), in which a node would answer nothing; and an import makes several.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def preload_torch() -> None:
    """Loads PyTorch's shared libraries, so that importing it takes less; does nothing where they are not found.

    An import loads them with the interpreter's lock held, and no other thread runs meanwhile: on a busy machine for
    two seconds at a time (measured), in which a node would answer nothing. A foreign function is called without it.
    """
    spec, loader = find_spec("torch"), getattr(ctypes.CDLL(None), "dlopen", None)
    if spec is None or spec.origin is None or loader is None:
        return
    loader.restype, loader.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    for name in _LARGE:
        path = Path(spec.origin).parent / "lib" / name
        if path.is_file():
            loader(os.fsencode(path), os.RTLD_NOW)  # never closed: the import finds it loaded
