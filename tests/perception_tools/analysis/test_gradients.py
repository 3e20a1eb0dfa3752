from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_tools.analysis import gradients
from perception_tools.analysis.gradients import RecordLosses, _coherence, analyse_gradients
from perception_tools.tasks import task_of_run


class Fixed(nn.Module):
    """A model whose records' gradients are the rows of a table."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.encoder = nn.Linear(rows.shape[1], 1, bias=False)
        self.head = nn.Linear(1, 1)
        self.rows = rows


def losses(model: Fixed) -> Iterator[Tensor]:
    assert not model.training
    for row in model.rows:
        yield model.encoder(row).sum() + 3 * model.head.weight.sum()


def source() -> RecordLosses:
    return RecordLosses("rows", losses, lambda seed: Fixed(torch.eye(4)[:3] + seed))


def test_records_are_compared_within_batches_and_batches_averaged() -> None:
    rows = torch.tensor([[1.0, 0], [1, 0], [1, 0], [-1, 0], [1, 0]])
    found = _coherence(source(), Fixed(rows), 2, "fixed")
    assert (found["cosine"], found["product"]) == (0.0, 0.0)  # 1 and -1; the fifth has nobody to be compared with
    assert (found["rows"], found["batches"], found["parameters"]) == (4, 2, 2)
    assert found["interval"]["cosine"] == [-1.0, 1.0]
    whole = _coherence(source(), Fixed(rows), 5, "fixed")
    assert whole["cosine"] == pytest.approx((6 - 4) / 10)


def test_too_few_records_are_refused() -> None:
    with pytest.raises(InputError, match="expected two rows or more"):
        _coherence(source(), Fixed(torch.eye(1)), 2, "fixed")


def test_runs_stand_side_by_side_with_fresh_models_and_what_was_left_out(
    trained_run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = source()
    made.failures.add("bad", RecordError("it cannot be read"))
    given: list[tuple] = []
    monkeypatch.setattr(gradients, "resolve", lambda _reference: lambda *args: given.append(args) or made)
    task = task_of_run(trained_run)
    recipe = task.recipes["forecast/vectornet"]
    monkeypatch.setattr(
        type(task),
        "load_model",
        lambda _task, _run: SimpleNamespace(name="x/y", recipe=recipe, model=Fixed(torch.eye(4))),
    )
    out = tmp_path / "out"
    numbers = analyse_gradients(task, [trained_run], data, out, batch=2, batches=3, seeds=(0, 1))
    assert given[0][1:] == (data, "train", 6)
    assert json.loads((out / "gradients.json").read_text()) == numbers
    assert numbers["trained"]["cosine"] == 0.0
    assert list(numbers["initial"]) == ["0", "1"]
    assert numbers["initial"]["1"]["cosine"] > 0.5
    assert numbers["failures"] == {"bad": "it cannot be read"}
    assert "left out: bad: it cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "value"), [("batch", 1), ("batches", 0)])
def test_numbers_of_records_are_checked(option: str, value: int, trained_run: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--{option} {value}: expected at least"):
        analyse_gradients(task_of_run(trained_run), [trained_run], data, tmp_path, **{option: value})  # pyright: ignore
