from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception_datasets.clouds.open_clouds import open_clouds
from perception_tools.points.evaluate import evaluate_classifiers, published_table
from perception_tools.points.headline import headline
from perception_tools.points.model import load_classifier
from perception_tools.points.run import PointRun
from perception_tools.training.fit import fit


def test_a_split_is_scored_cloud_by_cloud(trained_points: Path, clouds: Path, tmp_path: Path) -> None:
    metrics = evaluate_classifiers((trained_points,), clouds, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert (metrics["clouds"], metrics["classes"], metrics["unread"], metrics["split"]) == (12, 3, 0, "test")
    assert metrics["top5"] == 1.0
    assert metrics["best_on"] == {"points/micro-llama": "held-out"}
    assert list(metrics["sets"]) == ["best epoch"]
    rows = [row for row in pq.read_table(tmp_path / "records.parquet").to_pylist() if row["set"] == "test"]
    assert np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(metrics["top1"])
    trained, source = load_classifier(trained_points), open_clouds(clouds, "test")
    chances = trained.model.classify([source.decode(record) for record in source])
    assert [trained.classes[best] for best in chances.argmax(1)] == [row["predicted"] for row in rows]
    assert headline(trained.model, trained, clouds, "test", None)["top1"] == pytest.approx(metrics["top1"])
    assert "Published rows" not in (tmp_path / "report.html").read_text()  # three classes are not of Table 2


def test_votes_and_shuffled_coordinates_stand_apart(trained_points: Path, clouds: Path, tmp_path: Path) -> None:
    single = evaluate_classifiers((trained_points,), clouds, tmp_path / "a")
    metrics = evaluate_classifiers(
        (trained_points,), clouds, tmp_path / "b", votes=3, shuffle_coordinates=True, batch=5
    )
    assert metrics["top1"] == single["top1"]
    assert list(metrics["sets"]) == ["best epoch", "voted", "shuffled coordinates"]
    assert metrics["votes"] == 3
    page = (tmp_path / "b" / "report.html").read_text()
    assert "shuffled coordinates: top-1" in page


def test_runs_of_several_seeds_are_averaged_and_compared(
    trained_points: Path, make_point_run: Callable[..., PointRun], clouds: Path, tmp_path: Path
) -> None:
    fit(make_point_run(tmp_path / "seed1", {"seed": 1, "passes": 2}))
    metrics = evaluate_classifiers((trained_points, tmp_path / "seed1"), clouds, tmp_path / "out")
    assert metrics["name"] == "points/micro-llama (seed 0)"
    (system,) = metrics["systems"]
    assert system["seeds"] == [0, 1]


def test_a_broken_cloud_is_counted_and_named(
    trained_points: Path, write_clouds: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_clouds(tmp_path / "data")
    (data / "test" / "plate" / "1.npy").write_bytes(b"no cloud")
    metrics = evaluate_classifiers((trained_points,), data, tmp_path / "out")
    assert (metrics["clouds"], metrics["unread"]) == (11, 1)
    assert "1.npy" in next(iter(metrics["failures"].values()))


@pytest.mark.parametrize(("option", "least"), [("batch", 1), ("workers", 0), ("votes", 0)])
def test_numbers_out_of_bounds_are_refused(option: str, least: int, trained_points: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {option: least - 1}
    with pytest.raises(InputError, match=f"--{option} {least - 1}: expected at least {least}"):
        evaluate_classifiers((trained_points,), tmp_path / "data", tmp_path / "out", **options)


def test_published_rows_stand_beside_a_model_of_their_data_alone() -> None:
    numbers = {"name": "ours", "top1": 0.5, "others": {}}
    assert published_table(numbers, None) is None
    table = published_table(numbers, "t50")
    assert table is not None
    name, cells = table.rows[-1]
    assert name == "ours, last epoch, measured here"
    assert [cell.text for cell in cells] == ["–", "–", "50.00", "–", "–", "–"]


def test_models_of_two_variants_are_not_compared(trained_points: Path, clouds: Path, tmp_path: Path) -> None:
    from perception_tools.points.model import save_classifier

    trained = load_classifier(trained_points)
    recipe = replace(trained.recipe, variant="bg")
    save_classifier(tmp_path / "bg.safetensors", trained.model, recipe, trained.classes, trained.training)
    with pytest.raises(InputError, match="expected a model of ScanObjectNN's variant None, got one of bg"):
        evaluate_classifiers((trained_points, tmp_path / "bg.safetensors"), clouds, tmp_path / "out")
