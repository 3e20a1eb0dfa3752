"""Whether a runtime gives the answers of the model that was exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from perception.errors import InputError
from perception_nodes.exported.runtimes import Runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.precisions import ExportPrecision

BOUNDS: Mapping[ExportPrecision, float] = {"float32": 1e-5, "fp16": 5e-3, "bf16": 3e-2, "int8": 0.1, "int4": 0.5}
"""Largest error of an output, relative to its size; of narrow weights the task's numbers say more."""

METRIC_BOUND = 1e-3
"""Largest difference of a task's number in float32, relative to it where it is above 1."""


class ParityError(InputError):
    """A runtime's answers are not the model's."""


@dataclass(frozen=True)
class CaseParity:
    """One batch through both.

    Attributes:
        case: What the batch is like.
        output: Name of the output.
        relative: |difference| / |reference|, both as norms over what is valid.
        largest: Largest difference of a number.
    """

    case: str
    output: str
    relative: float
    largest: float


def compare_outputs(exportable: Exportable, cases: Mapping[str, Any], runtime: Runtime) -> list[CaseParity]:
    """Every case through the model and through the runtime."""
    found = []
    for case, batch in cases.items():
        with torch.inference_mode():
            truth = {name: value.numpy() for name, value in exportable.source.answer(batch).items()}
        answer, valid = runtime.run(exportable.source.arrays(batch)), exportable.valid(batch)
        for name, expected in truth.items():
            found.append(_compare(case, name, answer[name], expected, valid))
    return found


def _compare(case: str, name: str, given: np.ndarray, expected: np.ndarray, valid: Any) -> CaseParity:
    if given.shape != expected.shape:
        return CaseParity(case, name, float("inf"), float("inf"))
    if valid is not None:
        given, expected = given[valid], expected[valid]
    difference = np.abs(given.astype(np.float64) - expected)
    if not np.isfinite(difference).all():
        return CaseParity(case, name, float("inf"), float("inf"))
    size = float(np.linalg.norm(expected)) or 1.0
    return CaseParity(case, name, float(np.linalg.norm(difference)) / size, float(difference.max(initial=0.0)))


def complaints(parities: list[CaseParity], precision: ExportPrecision) -> list[str]:
    """What is beyond the bound, in words."""
    return [
        f"{parity.output} of {parity.case} differs by {parity.relative:.1e} of its size (at most "
        f"{parity.largest:.3g}), expected {BOUNDS[precision]:.0e}"
        for parity in parities
        if not parity.relative <= BOUNDS[precision]
    ]


def check(
    exportable: Exportable, cases: Mapping[str, Any], runtime: Runtime, precision: ExportPrecision
) -> list[CaseParity]:
    """Compares every case.

    Raises:
        ParityError: Something is beyond the bound of the precision.
    """
    parities = compare_outputs(exportable, cases, runtime)
    _expect_none(runtime, complaints(parities, precision))
    return parities


def check_metrics(metrics: Mapping[str, Mapping[str, float]], runtime: Runtime, precision: ExportPrecision) -> None:
    """Compares a task's numbers; see `metric_complaints`.

    Raises:
        ParityError: They are other ones.
    """
    _expect_none(runtime, metric_complaints(metrics, precision))


def metric_complaints(metrics: Mapping[str, Mapping[str, float]], precision: ExportPrecision) -> list[str]:
    """Which of a task's numbers are other ones, in words; narrow weights may change them, within a budget of their own.

    Args:
        metrics: Of the model, `trained`, and of the file, `exported`.
        precision: Precision of the file.
    """
    if precision != "float32":
        return []
    trained, exported = metrics["trained"], metrics["exported"]
    return [
        f"{name} is {exported[name]:.4f}, the model's {expected:.4f}"
        for name, expected in trained.items()
        if not abs(exported[name] - expected) <= METRIC_BOUND * max(1.0, abs(expected))
    ]


def _expect_none(runtime: Runtime, wrong: Sequence[str]) -> None:
    if wrong:
        raise ParityError(
            f"{runtime.file.path.name}: its answers are not the model's: {'; '.join(wrong)}; nothing was written; take "
            "a wider precision, or report it with the recipe"
        )
