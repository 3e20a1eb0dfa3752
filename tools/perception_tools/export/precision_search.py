"""The fastest precision of an exported block whose cost in the task's own numbers is within a budget."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.errors import InputError
from perception_nodes.exported.runtimes import Runtime, open_runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.narrowing import write_narrowed
from perception_tools.export.parity import BOUNDS, compare_outputs
from perception_tools.export.precisions import ExportPrecision

if TYPE_CHECKING:
    import onnx

CANDIDATES: tuple[ExportPrecision, ...] = ("float32", "bf16", "fp16", "int8", "int4")
ROUNDS = 20
"""Number of times that each precision answers the timed batch, all by turns."""

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Budget:
    """How much worse one of the task's numbers may become.

    Attributes:
        metric: Its name, such as `min_fde`.
        change: Largest change: above 0 where the number may rise, below 0 where it may fall.
        is_share: Whether the change is a share of the trained model's number.
    """

    metric: str
    change: float
    is_share: bool

    @classmethod
    def of(cls, text: str) -> Budget:
        """Reads METRIC=±NUMBER or METRIC=±NUMBER%, such as minFDE=+1% or accuracy=-0.5%.

        Raises:
            InputError: It is something else.
        """
        found = re.fullmatch(r"([A-Za-z]\w*)=([+-]\d*\.?\d+)(%?)", text.strip())
        if found is None:
            raise InputError(
                f"--budget {text}: expected METRIC=+NUMBER%, or - for a number that may fall, such as minFDE=+1%"
            )
        metric, number, percent = found.groups()
        return cls(metric, float(number) / (100 if percent else 1), is_share=bool(percent))

    def allows(self, trained: Numbers, found: Numbers) -> bool:
        """Whether numbers are within the budget.

        Raises:
            InputError: The task has no such number.
        """
        name = self.name_in(trained)
        limit = trained[name] * (1 + self.change) if self.is_share else trained[name] + self.change
        return found[name] <= limit if not np.signbit(self.change) else found[name] >= limit

    def name_in(self, numbers: Numbers) -> str:
        """The task's name of the metric: capitals and underscores do not matter.

        Raises:
            InputError: The task has no such number.
        """
        plain = {name.replace("_", "").lower(): name for name in numbers}
        name = plain.get(self.metric.replace("_", "").lower())
        if name is None:
            raise InputError(f"--budget {self.metric}: expected one of {', '.join(numbers)}; name one of them")
        return name


@dataclass(frozen=True)
class PrecisionTrial:
    """One precision.

    Attributes:
        precision: Of the block's weights.
        p50_ms: Median time of the timed batch in ONNX Runtime, on one thread of this machine.
        error: Largest error of an output over all batches of the check, relative to its size.
        megabytes: Size of the files.
        metrics: The task's numbers on the calibration split.
        allowed: Whether they are within the budget and the error within the check's bound.
    """

    precision: ExportPrecision
    p50_ms: float
    error: float
    megabytes: float
    metrics: Numbers
    allowed: bool


@dataclass(frozen=True)
class PrecisionTable:
    """What was tried.

    Attributes:
        budget: As it was given.
        trained: The trained model's numbers.
        trials: In the order of `CANDIDATES`.
        batch: What the timed batch is like.
    """

    budget: str
    trained: Numbers
    trials: tuple[PrecisionTrial, ...]
    batch: str

    @property
    def best(self) -> PrecisionTrial:
        """The fastest trial that is allowed; float32 always is."""
        return min((t for t in self.trials if t.allowed), key=lambda trial: trial.p50_ms)

    @property
    def chosen(self) -> ExportPrecision:
        """The precision of the best one."""
        return self.best.precision

    def as_json(self) -> dict[str, Any]:
        """For the file's metadata."""
        return asdict(self) | {"chosen": self.chosen}

    def lines(self) -> list[str]:
        """For people."""
        rows = [f"precision within {self.budget}, timed on {self.batch}"]
        rows += [f"  trained   {_words(self.trained)}"]
        for trial in self.trials:
            mark = "chosen" if trial.precision == self.chosen else "allowed" if trial.allowed else "beyond the budget"
            rows.append(
                f"  {trial.precision:<8}  {_words(trial.metrics)}   p50 {trial.p50_ms:.2f} ms   error "
                f"{trial.error:.1e}   {trial.megabytes:.1f} MB   {mark}"
            )
        return rows


def search_precision(
    proto: onnx.ModelProto,
    tail: Sequence[str],
    exportable: Exportable,
    budget: str,
    measure: Callable[[Any], Numbers],
    trained: Any,
    folder: Path,
) -> PrecisionTable:
    """Tries every precision that the model can have.

    Args:
        proto: The traced graph, which stays as it is.
        tail: Names of the weights to narrow; without any, float32 alone is tried.
        exportable: The model.
        budget: See `Budget.of`.
        measure: Gives a model's numbers on the calibration split.
        trained: The trained model.
        folder: Where to write; its files may be deleted afterwards.

    Raises:
        InputError: The budget cannot be read, or names no number of the task.
    """
    limit, cases, numbers = Budget.of(budget), exportable.cases(), measure(trained)
    limit.name_in(numbers)
    runtimes: dict[ExportPrecision, Runtime] = {}
    sizes = {}
    for precision in CANDIDATES if tail else CANDIDATES[:1]:
        file, sizes[precision] = write_narrowed(proto, tail, precision, folder, exportable.metadata)
        runtimes[precision] = open_runtime(file, "onnxruntime")
    batch = exportable.timed[0]
    times = _times(runtimes, exportable, cases[batch])
    trials = []
    for precision, runtime in runtimes.items():
        error = max(parity.relative for parity in compare_outputs(exportable, cases, runtime))
        found = measure(exportable.serve(runtime))
        allowed = precision == "float32" or (error <= BOUNDS[precision] and limit.allows(numbers, found))
        trials.append(PrecisionTrial(precision, times[precision], error, sizes[precision], found, allowed))
    return PrecisionTable(budget, numbers, tuple(trials), batch)


def _times(
    runtimes: Mapping[ExportPrecision, Runtime], exportable: Exportable, batch: Any
) -> dict[ExportPrecision, float]:
    """Median time of each, ms; they take turns, so that a change in the machine's load meets each of them."""
    arrays = exportable.source.arrays(batch)
    taken: dict[ExportPrecision, list[float]] = {precision: [] for precision in runtimes}
    for _ in range(ROUNDS + 1):
        for precision, runtime in runtimes.items():
            began_s = time.perf_counter()
            runtime.run(arrays)
            taken[precision].append((time.perf_counter() - began_s) * 1e3)
    return {precision: median(times[1:]) for precision, times in taken.items()}  # the first is slower


def _words(numbers: Numbers) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
