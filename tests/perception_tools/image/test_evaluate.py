"""Classifiers over a split and over sets that test robustness."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from perception.errors import InputError
from perception_datasets.images.open_pictures import open_pictures
from perception_tools.image.evaluate import evaluate_classifiers
from perception_tools.image.headline import headline
from perception_tools.image.model import load_classifier
from perception_tools.image.run import ImageRun
from perception_tools.training.fit import fit


def test_a_split_is_scored_picture_by_picture(trained_classifier: Path, pictures: Path, tmp_path: Path) -> None:
    metrics = evaluate_classifiers((trained_classifier,), pictures, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert (metrics["pictures"], metrics["classes"], metrics["unread"]) == (12, 3, 0)
    assert metrics["top5"] == 1.0
    rows = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert len(rows) == 12
    assert np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(metrics["top1"])
    trained = load_classifier(trained_classifier)
    source = open_pictures(pictures, "val")
    chances = trained.model.classify([source.decode(record) for record in source])
    assert [trained.classes[best] for best in chances.argmax(1)] == [row["predicted"] for row in rows]
    assert headline(trained.model, trained, pictures, "val", None)["top1"] == pytest.approx(metrics["top1"])
    assert "Published rows" not in (tmp_path / "report.html").read_text()  # three classes are not ImageNet


def test_runs_of_several_seeds_are_averaged_and_compared(
    trained_classifier: Path, make_image_run: Callable[..., ImageRun], pictures: Path, tmp_path: Path
) -> None:
    fit(make_image_run(tmp_path / "seed1", {"seed": 1}))
    metrics = evaluate_classifiers((trained_classifier, tmp_path / "seed1"), pictures, tmp_path / "out")
    assert metrics["name"] == "image/vit-micro-llama (seed 0)"
    assert list(metrics["others"]) == ["image/vit-micro-llama (seed 1)"]
    (system,) = metrics["systems"]
    assert system["seeds"] == [0, 1]
    top1 = [metrics["top1"], metrics["others"]["image/vit-micro-llama (seed 1)"]["top1"]]
    assert system["values"]["top1"] == top1
    paired = metrics["paired"]["image/vit-micro-llama (seed 1)"]["top1"]
    assert paired["difference"] == pytest.approx(top1[0] - top1[1])


def test_imagenet_r_is_scored_among_its_own_classes(
    trained_classifier: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = evaluate_classifiers((trained_classifier,), pictures, tmp_path, suite="imagenet-r")
    assert metrics["pictures"] == 8  # the first class is not one of ImageNet-R's
    assert (metrics["left_out"], metrics["choices"]) == (4, 2)
    assert "imagenet-r: 4 pictures of classes that the models lack are not counted" in capsys.readouterr().out
    rows = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert {row["predicted"] for row in rows} <= {"n01443537", "n01484850"}


def test_imagenet_c_has_a_mean_and_a_relative_error(trained_classifier: Path, tmp_path: Path) -> None:
    from perception_datasets.images.imagenet_c import corruptions

    data, rng = tmp_path / "imagenet-c", np.random.default_rng(0)
    for one in corruptions():
        for severity in range(1, 6):
            for name in ("n01440764", "n01443537", "n01484850"):
                folder = data / one.name / str(severity) / name
                folder.mkdir(parents=True)
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    metrics = evaluate_classifiers((trained_classifier,), data, tmp_path / "out", suite="imagenet-c")
    assert len(metrics["corruptions"]) == 15
    by_severity = np.array(list(metrics["corruptions"].values()))
    assert metrics["mean_top1"] == pytest.approx(by_severity.mean())
    alexnet = {one.name: one.alexnet_error for one in corruptions() if one.alexnet_error is not None}
    expected = [np.mean(1 - np.array(row)) / alexnet[name] for name, row in metrics["corruptions"].items()]
    assert metrics["mce"] == pytest.approx(100 * np.mean(expected))
    assert pq.read_table(tmp_path / "out" / "records.parquet").num_rows == 15 * 5 * 3


def test_a_broken_picture_is_counted_and_named(
    trained_classifier: Path, write_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_pictures(tmp_path / "data")
    (data / "val" / "n01443537" / "n01443537_1.png").write_bytes(b"no picture")
    metrics = evaluate_classifiers((trained_classifier,), data, tmp_path / "out")
    assert (metrics["pictures"], metrics["unread"]) == (11, 1)
    (fault,) = metrics["failures"].values()
    assert "n01443537_1.png" in fault


def test_a_set_without_the_models_classes_is_refused(trained_classifier: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        folder = tmp_path / "data" / "val" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(folder / f"{name}.png")
    with pytest.raises(InputError, match="others: cat, dog"):
        evaluate_classifiers((trained_classifier,), tmp_path / "data", tmp_path / "out")
    with pytest.raises(InputError, match="expected pictures of imagenet-r's classes"):
        evaluate_classifiers((trained_classifier,), tmp_path / "data", tmp_path / "out", suite="imagenet-r")


@pytest.mark.parametrize("word", ["imagenet-r", "imagenet-x=/data", "imagenet-r="])
def test_a_further_set_is_a_suite_and_a_folder(
    word: str, trained_classifier: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="expected SUITE=DIR"):
        evaluate_classifiers((trained_classifier,), pictures, tmp_path, also=(word,))


def test_a_set_is_given_once(trained_classifier: Path, pictures: Path, tmp_path: Path) -> None:
    twice = f"imagenet-r={pictures}"
    with pytest.raises(InputError, match="expected each set once, found more than one imagenet-r"):
        evaluate_classifiers((trained_classifier,), pictures, tmp_path / "out", also=(twice, twice))
    with pytest.raises(InputError, match="expected each set once"):
        evaluate_classifiers((trained_classifier,), pictures, tmp_path / "out", suite="imagenet-r", also=(twice,))


@pytest.mark.parametrize(("option", "least"), [("batch", 1), ("workers", 0)])
def test_numbers_out_of_bounds_are_refused(
    option: str, least: int, trained_classifier: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"--{option} {least - 1}: expected at least {least}"):
        evaluate_classifiers(
            (trained_classifier,),
            pictures,
            tmp_path / "out",
            batch=least - 1 if option == "batch" else 64,
            workers=least - 1 if option == "workers" else 0,
        )
    with pytest.raises(InputError, match="limit 0: expected at least 1 picture"):
        evaluate_classifiers((trained_classifier,), pictures, tmp_path / "out", limit=0)


def test_an_evaluation_that_fails_leaves_the_former_records(
    trained_classifier: Path, write_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    data, out = write_pictures(tmp_path / "data"), tmp_path / "out"
    evaluate_classifiers((trained_classifier,), data, out)
    before = (out / "records.parquet").read_bytes()
    for path in (data / "val").glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="expected pictures to classify, got none"):
        evaluate_classifiers((trained_classifier,), data, out)
    assert (out / "records.parquet").read_bytes() == before
    assert not list(out.glob(".*"))


def test_a_further_set_stands_beside_the_split(trained_classifier: Path, pictures: Path, tmp_path: Path) -> None:
    alone = evaluate_classifiers((trained_classifier,), pictures, tmp_path / "alone", suite="imagenet-r")
    metrics = evaluate_classifiers((trained_classifier,), pictures, tmp_path / "out", also=(f"imagenet-r={pictures}",))
    assert metrics["sets"]["imagenet-r"]["top1"] == alone["top1"]
    assert metrics["pictures"] == 12
    assert set(pq.read_table(tmp_path / "out" / "records.parquet")["set"].to_pylist()) == {"val", "imagenet-r"}


def test_pictures_in_workers_are_scored_as_without(
    trained_classifier: Path, write_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_pictures(tmp_path / "data")
    (data / "val" / "n01443537" / "n01443537_1.png").write_bytes(b"no picture")
    first, second = (
        evaluate_classifiers((trained_classifier,), data, tmp_path / f"out{workers}", workers=workers)
        for workers in (0, 1)
    )
    assert {**first, "pictures_per_second": 0} == {**second, "pictures_per_second": 0}


def test_pictures_are_corrupted_on_the_fly(
    trained_classifier: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no folders of corruptions; two stand for all, and something quick for the library."""
    from perception_datasets.images import corrupted
    from perception_datasets.images.imagenet_c import corruptions
    from perception_tools.image import sets

    quick = tuple(one for one in corruptions() if one.name in ("brightness", "contrast"))
    monkeypatch.setattr(sets, "corruptions", lambda: quick)
    monkeypatch.setattr(corrupted, "is_installed", lambda: True)
    monkeypatch.setattr(corrupted, "corrupt", lambda pixels, *_: 255 - pixels)
    metrics = evaluate_classifiers((trained_classifier,), pictures, tmp_path, suite="imagenet-c", limit=3)
    assert set(metrics["corruptions"]) == {"contrast", "brightness"}
    assert (metrics["pictures"], "mce" in metrics) == (3, False)
    assert pq.read_table(tmp_path / "records.parquet").num_rows == 2 * 5 * 3
    assert "Under corruptions" in (tmp_path / "report.html").read_text()
