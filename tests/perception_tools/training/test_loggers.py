"""Loggers by name, and what they say of a run's recipe."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import loggers
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]

from perception.errors import InputError
from perception_tools.training.curves import read_curves
from perception_tools.training.loggers import log_recipe, open_logger
from perception_tools.training.recipes import BlockRecipe, LearningRecipe


@pytest.mark.parametrize("name", ["tensorboard", "TensorBoardLogger"])
def test_tensorboard_writes_into_the_runs_folder_and_shows_the_recipe(tmp_path: Path, name: str) -> None:
    recipe = LearningRecipe(block=BlockRecipe(kind="mlp"), learning_rate=3e-4)
    logger = open_logger(name, tmp_path)
    assert isinstance(logger, TensorBoardLogger)
    log_recipe(logger, recipe.to_json(), "val/min_fde")
    logger.log_metrics({"train/loss": 2.0}, 5)
    logger.finalize("success")
    assert read_curves(tmp_path) == {"train/loss": [(5, 2.0)]}, "the recipe adds no curve"
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (text,) = events.Tensors("recipe/text_summary")
    written = text.tensor_proto.string_val[0].decode().removeprefix("```yaml\n").removesuffix("```")
    assert LearningRecipe.from_json(yaml.safe_load(written)) == recipe
    start, metrics = (
        HParamsPluginData.FromString(events.PluginTagToContent("hparams")[f"_hparams_/{part}"])
        for part in ("session_start_info", "experiment")
    )
    hparams = start.session_start_info.hparams
    assert (hparams["block/kind"].string_value, hparams["learning_rate"].number_value) == ("mlp", 3e-4)
    assert [info.name.tag for info in metrics.experiment.metric_infos] == ["val/min_fde"]


def test_csv_has_a_file_for_every_start_of_a_run(tmp_path: Path) -> None:
    for start in range(2):
        logger = open_logger("csv", tmp_path)
        assert isinstance(logger, CSVLogger)
        log_recipe(logger, LearningRecipe().to_json(), "val/em1")
        logger.log_metrics({"train/loss": float(start)}, 0)
        logger.finalize("success")
    values = []
    for path in sorted(tmp_path.glob("csv/version_*/metrics.csv")):
        with path.open() as lines:
            values += [row["train/loss"] for row in csv.DictReader(lines)]
    assert values == ["0.0", "1.0"]
    hparams = (tmp_path / "csv" / "version_0" / "hparams.yaml").read_text()
    assert yaml.safe_load(hparams)["block/kind"] == "language"


def test_any_logger_of_lightning_gets_the_runs_folder_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OtherLogger(CSVLogger):
        def __init__(self, root_dir: str, run_name: str, prefix: str = "x") -> None:
            super().__init__(root_dir)
            self.given: tuple[Any, ...] = (root_dir, run_name, prefix)

    monkeypatch.setattr(loggers, "MLFlowLogger", OtherLogger)
    logger = open_logger("mlflow", tmp_path / "night3")
    assert isinstance(logger, OtherLogger)
    assert logger.given == (str(tmp_path / "night3"), "night3", "x")


@pytest.mark.parametrize(
    ("name", "hint"), [("tensorbord", "did you mean tensorboard?"), ("paper", "choose one of them")]
)
def test_an_unknown_logger_is_refused_with_the_nearest_name(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(InputError, match=r"expected one of comet, csv, .*tensorboard, wandb, got") as error:
        open_logger(name, tmp_path)
    assert str(error.value).endswith(hint)


def test_a_logger_whose_package_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_args: Any, **_kwargs: Any) -> None:
        raise ModuleNotFoundError("No module named 'wandb'")

    monkeypatch.setattr(loggers.WandbLogger, "__init__", missing)
    with pytest.raises(InputError, match=r"logger wandb: expected the package behind it, got: .*'wandb'"):
        open_logger("wandb", tmp_path)
    assert "wandb" not in sys.modules
