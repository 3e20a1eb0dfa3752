"""Ways to compute an exportable model: PyTorch's, those of other libraries, and exported files in each runtime."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception_tools.bench.resident import growth_of
from perception_tools.tasks import TrainedModel

if TYPE_CHECKING:
    from perception_tools.export.exportable import Exportable

FIRST = "torch float32"
"""The way that all others are held against: folded, with the kernels that nodes run."""
Answer = Callable[[Any], Sequence[np.ndarray]]
"""Function from a batch to the outputs in the order of the graph."""


@dataclass(frozen=True)
class Way:
    """Something that answers a batch.

    Attributes:
        name: Runtime and precision, or the library.
        answer: Gives the outputs.
        load_s: Time to open it.
        megabytes: Size of its files.
        memory_mb: Memory that it takes; None where the system does not tell.
        is_same: Whether it is the same model, whose answers can be compared.
    """

    name: str
    answer: Answer
    load_s: float
    megabytes: float
    memory_mb: float | None
    is_same: bool = True


def _opened(
    name: str, batch: Any, make: Callable[[], Answer], megabytes: float = 0.0, held: Any = None, is_same: bool = True
) -> Way:
    """Opens a way and lets it answer once.

    Args:
        name: Its name.
        batch: What is answered.
        make: Opens it.
        megabytes: Size of its files.
        held: A model whose weights it reads, in memory already.
        is_same: Whether its answers can be compared.
    """
    load_s: list[float] = []

    def work() -> Answer:
        began_s = time.perf_counter()
        answer = make()
        load_s.append(time.perf_counter() - began_s)
        answer(batch)
        return answer

    answer, grown = growth_of(work)
    memory = None if grown is None else grown + (0.0 if held is None else _weights_mb(held))
    return Way(name, answer, load_s[0], megabytes, memory, is_same)


def _weights_mb(model: Any) -> float:
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in (*model.parameters(), *model.buffers())}
    return sum(storage.nbytes() for storage in storages.values()) / 2**20


def torch_ways(exportable: Exportable, trained: TrainedModel, batch: Any, quick: bool) -> list[Way]:
    """PyTorch's ways, and other libraries' models of the same size.

    Args:
        exportable: What is exported of the model.
        trained: The model.
        batch: What each answers once when it is opened.
        quick: Nothing is compiled.
    """
    import torch

    from perception.frozen.folded import can_fold

    call, served = exportable.source.call, exportable.source.model

    def way(name: str, model: Any, is_same: bool = True) -> Way:
        def answer(batch: Any) -> Sequence[np.ndarray]:
            with torch.inference_mode():
                return [value.numpy() for value in _named(call(model, batch) if is_same else model(batch))]

        return _opened(name, batch, lambda: answer, held=model, is_same=is_same)

    ways = [way(FIRST, served)]
    if not quick:
        ways += _compiled(exportable, batch)
    if can_fold(trained.model.block):
        ways.append(way("torch int8_dynamic", trained.model.folded("int8_dynamic")))
    ways.append(way("torch, not folded", trained.model))
    for name, make in exportable.peers.items():
        try:
            ways.append(way(name, make(), is_same=False))
        except ImportError as error:
            print(f"  {name}: left out, {error.name} is not installed")
    return ways


def _compiled(exportable: Exportable, batch: Any) -> list[Way]:
    """The folded model compiled by PyTorch; none where that does not work."""
    import torch

    source = exportable.source
    call = torch.compile(lambda batch: source.call(source.model, batch))

    def answer(batch: Any) -> Sequence[np.ndarray]:
        with torch.no_grad():
            return [value.numpy() for value in _named(call(batch))]

    try:
        return [_opened("torch.compile", batch, lambda: answer, held=source.model)]
    except Exception as error:  # compilers fail in ways of their own
        print(f"  torch.compile does not work here: {str(error).strip().splitlines()[0][:200]}")
        return []


def _named(answer: Any) -> list[Any]:
    from perception.batches import named_tensors

    return list(named_tensors(answer).values())


def exported_ways(
    exportable: Exportable, batches: Mapping[str, Any], batch: Any, folder: Path, threads: int, quick: bool
) -> list[Way]:
    """The model's files in each precision, in each runtime that is installed.

    Args:
        exportable: What is exported of the model.
        batches: Its cases; the first is traced.
        batch: What each answers once when it is opened.
        folder: Where files are written.
        threads: Number of threads.
        quick: Leaves the narrowest precision out.
    """
    from perception_nodes.exported.runtimes import Backend, open_runtime
    from perception_tools.export.graph import trace
    from perception_tools.export.narrowing import name_tail, tail_weights, write_narrowed
    from perception_tools.export.precisions import ExportPrecision

    proto = trace(exportable.source, next(iter(batches.values())))
    names = name_tail(proto, tail_weights(exportable.source.model))
    narrow_ones: list[ExportPrecision] = ["int8"] if quick else ["int8", "int4"]
    precisions: list[ExportPrecision] = ["float32", *(narrow_ones if names else [])]
    backends: list[Backend] = [name for name in ("onnxruntime", "openvino") if find_spec(name) is not None]
    ways = []
    for precision in precisions:
        file, megabytes = write_narrowed(proto, names, precision, folder, {"name": "bench", **exportable.metadata})
        for backend in backends:

            def make(backend: Backend = backend, path: Path = file) -> Answer:
                return _asks(exportable, open_runtime(path, backend, threads=threads))

            ways.append(_opened(f"{backend} {precision}", batch, make, megabytes))
    return ways


def _asks(exportable: Exportable, runtime: Any) -> Answer:
    return lambda batch: list(runtime.run(exportable.source.arrays(batch)).values())
