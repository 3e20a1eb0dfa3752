"""What every transport serves: the pipelines around one block, each by its name, with checked requests.

    host = BlockHost(load_pipelines(Path("folded/int8")))
    host.submit("forecast", tensors, timeout_s=0.1).result()

The transports (`over_zenoh`, `oip`, `over_ray`) only carry named tensors to `submit`, and answers back. A host loads
its pipelines once; clients cannot make it load others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from safetensors import safe_open
from torch import Tensor, nn

from perception.errors import InputError
from perception.files import reading
from perception.frozen.folded import BlockTail, FoldedBlock
from perception.frozen.folded_file import PIPELINE, load_folded
from perception_nodes.block.cost import cost_of
from perception_nodes.block.limits import DEFAULT_LIMITS, RequestLimits
from perception_nodes.block.request import UnknownPipeline, expect_within, request_of
from perception_nodes.block.service import BlockService, ServedBlock


class BlockHost:
    """Serves pipelines by name until it is drained.

    Args:
        pipelines: Folded blocks by name, all around one tail.
        limits: Limits of each request.
        max_batch: See `BlockService`.
        max_delay_s: See `BlockService`.
        queue_size: See `BlockService`.
        tail: Computes the tail in place of the pipelines' own, such as an `ExportedTail`.
    """

    def __init__(
        self,
        pipelines: Mapping[str, FoldedBlock],
        *,
        limits: RequestLimits = DEFAULT_LIMITS,
        max_batch: int = 256,
        max_delay_s: float = 0.002,
        queue_size: int = 16,
        tail: nn.Module | None = None,
    ) -> None:
        if not pipelines:
            raise InputError("block host: expected at least one pipeline, got none; fold a trained model first")
        self.limits = limits
        self._attentions = {name: folded.attention for name, folded in pipelines.items()}
        self.widths = {name: folded.attention.project_in.in_features for name, folded in pipelines.items()}
        self.fingerprints = {name: folded.fingerprint for name, folded in pipelines.items()}
        self.service = BlockService(
            next(iter(pipelines.values())).tail, max_batch=max_batch, max_delay_s=max_delay_s, queue_size=queue_size
        )
        self._served: dict[str, ServedBlock] = {
            name: self.service.pipeline(name, folded) for name, folded in pipelines.items()
        }
        if tail is not None:
            self.service.tail = tail
        self._accepts = True

    @property
    def ready(self) -> bool:
        """Whether it accepts requests and answers them."""
        return self._accepts and not self.trouble()

    def trouble(self) -> str:
        """Returns why requests are not answered any more; empty if they are. See `BlockService.trouble`."""
        return self.service.trouble()

    def block(self, name: str) -> ServedBlock:
        """Returns the in-process client of a pipeline, a module in place of its adapter."""
        return self._served[self._known(name)]

    def submit(self, name: str, tensors: Mapping[str, Tensor], timeout_s: float = float("inf")) -> Future[Tensor]:
        """Checks a request and queues it; thread-safe, returns at once.

        Raises:
            UnknownPipeline: The pipeline is not served here.
            MalformedRequest: The tensors are not a valid request, or exceed the limits.
            Overloaded: The pipeline's queue is full.
            ServiceClosed: After `drain`.
        """
        tokens, readout = request_of(tensors, self.widths[self._known(name)], self.limits)
        batch, count, _ = tokens.values.shape
        rows = count if readout.rows is None else readout.rows.shape[1]
        expect_within(cost_of(self._attentions[name], batch, count, rows), self.limits)
        return self.service.submit(name, tokens, readout, timeout_s)

    def drain(self, timeout_s: float | None = None) -> None:
        """Refuses further requests and answers those that wait."""
        self._accepts = False
        self.service.close(timeout_s)

    def __enter__(self) -> BlockHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()

    def _known(self, name: str) -> str:
        if name not in self.widths:
            raise UnknownPipeline(f"pipeline {name[:80]!r}: expected one of {', '.join(sorted(self.widths))}")
        return name


def load_pipelines(folder: Path, names: Sequence[str] = ()) -> dict[str, FoldedBlock]:
    """Returns the folded pipelines of a folder, which share one tail.

    Args:
        folder: Folder written by `perception block fold`.
        names: Names of the pipelines, those of their files without the ending; empty for all of the folder.

    Raises:
        InputError: A file is missing, damaged, or folded around another block than the others.
    """
    there = sorted(path.stem for path in folder.glob("*.safetensors") if _is_pipeline(path))
    if missing := [name for name in names or [""] if name not in there and (name or not there)]:
        raise InputError(
            f"{folder}: expected {', '.join(filter(None, missing)) or 'folded pipelines'}, found "
            f"{', '.join(there) or 'none'}; write them with perception block fold"
        )
    pipelines: dict[str, FoldedBlock] = {}
    tail: BlockTail | None = None
    for name in names or there:
        pipelines[name] = load_folded(folder / f"{name}.safetensors", tail)
        tail = pipelines[name].tail
    return pipelines


def _is_pipeline(path: Path) -> bool:
    with reading(path, "fold the adapter again"), safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("format") == PIPELINE
