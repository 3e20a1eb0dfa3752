"""From a trained forecaster to its deployment form, and what narrower weights cost it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import FoldedBlock
from perception.frozen.folded_file import load_folded
from perception.kernels.precision import Precision
from perception.metrics.forecasting import ForecastTable
from perception.tokens import Readout, Tokens
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.evaluate import Split, asked_agents
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.json_files import write_json
from perception_tools.pipeline_files import write_pipelines


@dataclass(frozen=True)
class FoldedResult:
    """What a precision gives.

    Attributes:
        precision: Of the tail's weights; `unfolded` is the trained adapter itself.
        megabytes: Of the files, or of the adapter's weights.
        relative_error: Of what the block gives to the rows that the head reads (without the tokens that a residual
            adapter adds), over all scenes: |difference| / |unfolded|, both as norms.
        min_fde: Of six, focal agents, metres.
        miss_rate: Of six, focal agents.
        min_fde_k1: Of the most probable future, metres.
        block_ms: Median time of the block in a scene.
    """

    precision: str
    megabytes: float
    relative_error: float
    min_fde: float
    miss_rate: float
    min_fde_k1: float
    block_ms: float


class Watched(nn.Module):
    """A block in its deployment form, watched beside the adapter that it stands for."""

    def __init__(self, block: nn.Module, adapter: FrozenBlockAdapter) -> None:
        super().__init__()
        self.block, self.adapter = block, adapter
        self.difference = self.truth = 0.0
        self.seconds: list[float] = []

    def forward(self, tokens: Tokens, readout: Readout) -> Tensor:
        """The block's values."""
        began = time.perf_counter()
        out = self.block(tokens, readout)
        self.seconds.append(time.perf_counter() - began)
        truth = self.adapter(tokens, readout)
        own = truth - readout.gather(tokens.values) if self.adapter.residual else truth
        asked = slice(None) if readout.valid is None else readout.valid
        self.difference += float((out - truth)[asked].square().sum())
        self.truth += float(own[asked].square().sum())
        return out


def fold_run(
    run: Path, out: Path, precisions: Sequence[Precision], data: Path | None, *, split: str, limit: int | None
) -> list[FoldedResult]:
    """Writes a run's deployment form in every precision; with data, measures each on it and prints a table."""
    trained = load_model(run)
    adapter = trained.model.block
    written = write_pipelines(adapter, run, trained.training.name, out, precisions)
    if data is None:
        return []
    results = [_measure(trained, adapter, adapter, "unfolded", 0, data, split, limit)]
    for precision, path in written.items():
        size = sum(file.stat().st_size for file in path.parent.glob("*.safetensors"))
        results.append(_measure(trained, adapter, load_folded(path), precision, size, data, split, limit))
    write_json(out / "precisions.json", {"precisions": [asdict(result) for result in results]})
    print(f"\n{_table(results)}\n{out / 'precisions.json'}")
    return results


def _measure(
    trained: TrainedForecaster,
    adapter: FrozenBlockAdapter,
    block: FrozenBlockAdapter | FoldedBlock,
    precision: str,
    size: int,
    data: Path,
    split: str,
    limit: int | None,
) -> FoldedResult:
    watched, table = Watched(block, adapter), ForecastTable()
    trained.model.add_module("block", watched)
    try:
        for scenarios in Split(open_forecasting(data, split, limit=limit)).batches(1):
            agents = [asked_agents(scenario) for scenario, _ in scenarios]
            forecasts = trained.model.forecast([vectors for _, vectors in scenarios], agents)
            for (scenario, _), forecast in zip(scenarios, forecasts, strict=True):
                table.add(scenario, forecast)
    finally:
        trained.model.add_module("block", adapter)
    if not watched.seconds:
        raise InputError(f"{data}: expected scenarios to measure on, got none in split {split}")
    scores = table.as_json()
    return FoldedResult(
        precision,
        (size or sum(parameter.nbytes for parameter in adapter.parameters())) / 1e6,
        (watched.difference / watched.truth) ** 0.5,
        scores["k6"]["min_fde"],
        scores["k6"]["miss_rate"],
        scores["k1"]["min_fde"],
        1000 * float(torch.tensor(watched.seconds).median()),
    )


def _table(results: Sequence[FoldedResult]) -> str:
    lines = [f"{'weights':<14}{'MB':>8}{'error':>10}{'minFDE':>9}{'miss':>8}{'K=1 minFDE':>12}{'block, ms':>11}"]
    lines += [
        f"{r.precision:<14}{r.megabytes:>8.1f}{r.relative_error:>10.1e}{r.min_fde:>9.4f}{r.miss_rate:>8.4f}"
        f"{r.min_fde_k1:>12.4f}{r.block_ms:>11.2f}"
        for r in results
    ]
    return "\n".join(lines)
