"""Learning curves as they come out of TensorBoard's events."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from perception_tools.training.curves import read_curves


def write(run: Path, points: list[tuple[str, float, int]], suffix: str = "") -> None:
    with SummaryWriter(run, filename_suffix=suffix) as writer:
        for name, value, step in points:
            writer.add_scalar(name, value, step)


def test_scalars_with_a_slash_are_curves(tmp_path: Path) -> None:
    write(tmp_path, [("train/loss", 3.0, 0), ("train/loss", 1.5, 10), ("val/min_fde", 2.0, 10), ("epoch", 1.0, 10)])
    assert read_curves(tmp_path) == {"train/loss": [(0, 3.0), (10, 1.5)], "val/min_fde": [(10, 2.0)]}


def test_of_a_step_that_was_trained_twice_the_later_value_counts(tmp_path: Path) -> None:
    write(tmp_path, [("train/loss", 3.0, 0), ("train/loss", 2.0, 10), ("train/loss", 1.9, 20)], ".1")
    write(tmp_path, [("train/loss", 1.75, 20), ("train/loss", 1.5, 30)], ".2")
    assert read_curves(tmp_path) == {"train/loss": [(0, 3.0), (10, 2.0), (20, 1.75), (30, 1.5)]}


def test_a_run_without_events_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {}


def test_long_curves_are_not_thinned(tmp_path: Path) -> None:
    count = 10_001  # one more than TensorBoard keeps unless told
    write(tmp_path, [("train/loss", float(step), step) for step in range(count)])
    assert len(read_curves(tmp_path)["train/loss"]) == count
