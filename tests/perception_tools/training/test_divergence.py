"""Where training leaves the finite numbers: what is said, and what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.run import ForecastRun
from perception_tools.main import main
from perception_tools.training.divergence import DivergedError, StopAtDivergence, not_finite
from perception_tools.training.fit import fit
from perception_tools.training.run_folder import WORK_FILES, RunFolder

MakeRun = Callable[..., ForecastRun]


def spoil(
    monkeypatch: pytest.MonkeyPatch, segment: int, batch: int, change: Callable[[ForecastTask, Any], Any]
) -> None:
    """Changes what one training step gives."""
    step = ForecastTask.training_step

    def spoiled(self: ForecastTask, given: Any, batch_idx: int) -> Any:
        loss = step(self, given, batch_idx)
        return change(self, loss) if (self.current_epoch, batch_idx) == (segment, batch) else loss

    monkeypatch.setattr(ForecastTask, "training_step", spoiled)


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in WORK_FILES}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_step_and_its_records_are_named_and_the_last_good_weights_kept(
    number: float, precision: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", {"passes": 3, "precision": precision}, accelerator="cpu")
    spoil(monkeypatch, 2, 1, lambda _, loss: loss * number)
    with pytest.raises(DivergedError, match=r"training diverged in step 10 on the records \w+, \w+: ") as raised:
        fit(run)
    assert f"found a loss of {number} and a norm of the gradient of nan" in str(raised.value)
    assert "the last good weights are in last.ckpt and last-former.ckpt and model.safetensors" in str(raised.value)
    assert "a learning rate below 0.0005" in str(raised.value)
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 8
    assert not_finite(load_model(tmp_path / "run").model) is None
    kept = digests(tmp_path / "run")
    with pytest.raises(DivergedError):  # it goes on from the last segment, and fails as before
        fit(run)
    assert digests(tmp_path / "run") == kept
    monkeypatch.undo()
    fit(run)
    assert load_model(tmp_path / "run").training.steps == 12


def test_the_records_are_those_of_the_step(
    make_run: MakeRun, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the training step itself was given: one pass has every record once."""
    folder = open_forecasting(data, "train")
    steps: list[list[str]] = []
    for batch in range(4):
        with monkeypatch.context() as patch:
            spoil(patch, 0, batch, lambda _, loss: loss * float("nan"))
            with pytest.raises(DivergedError) as raised:
                fit(make_run(tmp_path / str(batch), {"passes": 1}, logger=()))
        steps.append(str(raised.value).split("records ")[1].split(":")[0].split(", "))
    assert sorted(name for names in steps for name in names) == sorted(folder.ids)


def test_a_gradient_is_looked_at_too(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow(task: ForecastTask, loss: torch.Tensor) -> torch.Tensor:
        next(task.model.parameters()).register_hook(lambda gradient: gradient * float("inf"))
        return loss

    spoil(monkeypatch, 0, 2, overflow)
    for clip in (0.0, 1.0):
        with pytest.raises(DivergedError, match=r"in step 3 on .* a loss of \d\S+ and a norm of the gradient of \w+; "):
            fit(make_run(tmp_path / str(clip), {"passes": 1, "gradient_clip": clip}, logger=()))


def test_a_weight_is_looked_at_before_anything_is_saved(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of a segment may leave it, with a loss and a gradient that are finite."""

    def spoil_last(self: ForecastTask, *_: object, **__: object) -> None:
        if self.global_step == 8:
            with torch.no_grad():
                self.model.head.get_parameter("mode")[0, 0] = float("inf")

    monkeypatch.setattr(ForecastTask, "on_train_batch_end", spoil_last)
    with pytest.raises(
        DivergedError, match=r"after step 8: expected finite weights, found others in model\.head\.mode;"
    ):
        fit(make_run(tmp_path / "run", {"passes": 3}, logger=()))
    assert not_finite(load_model(tmp_path / "run").model) is None
    assert load_model(tmp_path / "run").training.steps == 4


@pytest.mark.parametrize("patience", [0, 2])
def test_a_validation_that_gives_no_number_is_an_error(
    patience: int, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def validation_step(self: ForecastTask, *_: object) -> None:
        self.log("val/min_fde", torch.tensor(float("nan")), batch_size=1)

    monkeypatch.setattr(ForecastTask, "validation_step", validation_step)
    with pytest.raises(
        DivergedError, match=r"in the validation after step 4: expected a finite val/min_fde, found nan;"
    ):
        fit(make_run(tmp_path / "run", {"patience": patience}, logger=()))
    assert not (tmp_path / "run" / "finished.json").exists()


def test_the_command_ends_in_a_sentence_and_not_with_success(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = "--dim 16 --heads 2 --batch-scenarios 2 --targets-per-scenario 3 --passes 2 --accelerator cpu --patience 2"
    words = f"train forecast/vectornet {tiny} --learning-rate 1e30 --data {data} --out {tmp_path / 'run'}"
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    *_, said = err.splitlines()
    assert said.startswith(f"perception train: {tmp_path / 'run'}: training diverged in step ")
    assert "nothing was saved yet; try a learning rate below 1e+30" in said
    assert "Traceback" not in err
    assert "holds the model" not in out


class Scaler:
    """As far as it is asked: a scale that falls."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def get_scale(self) -> float:
        return self.scale


@pytest.fixture
def step(make_run: MakeRun, tmp_path: Path) -> Callable[..., None]:
    """Shows the watch a step with a loss and a norm of the gradient, under a scaler, and what follows it."""

    def take(loss: float, norm: float, scale: float) -> None:
        job = SimpleNamespace(batches=4, records_of_step=lambda *_: ["a", "b"], monitor="val/min_fde")
        watch = StopAtDivergence(RunFolder(make_run(tmp_path)), job, 1e-3)  # pyright: ignore[reportArgumentType]
        trainer: Any = SimpleNamespace(
            precision_plugin=SimpleNamespace(scaler=Scaler(scale)), accumulate_grad_batches=1, current_epoch=0,
            global_step=1,
        )  # fmt: skip
        module: Any = ForecastTask(make_run(tmp_path).recipe, nn.Linear(1, 1))  # pyright: ignore[reportArgumentType]
        module.gradient_norm = torch.tensor(norm)
        watch.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, None, 0)
        watch.check_all(trainer, module)

    return take


def test_in_16_bits_a_gradient_may_overflow_until_the_loss_is_scaled_down(step: Callable[..., None]) -> None:
    step(1.0, float("inf"), 1024.0)
    with pytest.raises(DivergedError, match=r"after step 1: expected a gradient that float16 can hold, .* of 0\.5; "):
        step(1.0, float("inf"), 0.5)
    with pytest.raises(
        DivergedError, match="in step 1 on the records a, b: expected finite numbers, found a loss of nan;"
    ):
        step(float("nan"), 1.0, 1024.0)
