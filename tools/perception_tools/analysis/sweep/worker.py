"""A process of a sweep: trains one run, evaluates it, and ends at once if the sweep does.

`python -m perception_tools.analysis.sweep.worker CELL SEED WORDS…`, with the words of `perception sweep`. Lightning
starts this same command again for every further process of a run with `--devices`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from perception.errors import InputError
from perception.processes import exit_with_parent
from perception_tools.analysis.sweep.jobs import progress_file
from perception_tools.analysis.sweep.plan import PlannedRun, Sweep
from perception_tools.commands.sweep import read_sweep
from perception_tools.references import resolve
from perception_tools.training.fit import fit


def main(words: list[str]) -> int:
    """Runs one cell with one seed; returns the process's exit code."""
    exit_with_parent()
    cell, seed, *rest = words
    try:
        sweep = read_sweep(rest)
        train_and_evaluate(sweep, sweep.find(cell, int(seed)))
    except InputError as error:
        print(f"perception sweep: {error}", file=sys.stderr)
        return 2
    return 0


def train_and_evaluate(sweep: Sweep, planned: PlannedRun) -> None:
    """Does what is not done yet of one run."""
    if sweep.options.restart or planned.trained_model() is None:
        fit(planned.run, callbacks=[ReportProgress(progress_file(planned))])
        if not is_first_process():
            return
    options = {"limit": sweep.options.score_limit, "device": sweep.options.device}
    given = {name: value for name, value in options.items() if value is not None}
    evaluate = resolve(sweep.task.evaluate)
    evaluate((planned.run.out,), sweep.options.data, planned.evaluation, split=sweep.options.split, **given)
    planned.record_evaluation(sweep.options.scoring)


def is_first_process() -> bool:
    """Whether this is the process of a run that evaluates it; Lightning numbers the others."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


class ReportProgress(Callback):
    """Keeps a small file up to date that says which part of training is done, at most once a second.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = float("-inf")

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Writes, if the last time was a second ago."""
        if trainer.is_global_zero and time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            self.path.write_text(str(trainer.global_step / trainer.estimated_stepping_batches))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
