"""A classifier's training run from start to end: what it leaves, broken off and gone on with, on broken data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_tools.image.job import image_job, open_splits
from perception_tools.image.learning import ImageTask
from perception_tools.image.model import load_classifier
from perception_tools.image.run import ImageRun
from perception_tools.training.curves import read_curves
from perception_tools.training.fit import fit
from perception_tools.training.run import RUN_FILE

MakeRun = Callable[..., ImageRun]


def test_a_run_leaves_its_model_and_its_curves(trained_classifier: Path) -> None:
    trained = load_classifier(trained_classifier)
    assert (trained.name, trained.training.source) == ("image/vit-micro-llama", "colours")
    assert (trained.training.pictures, trained.training.steps) == (24, 6)
    assert trained.classes == ("n01440764", "n01443537", "n01484850")
    assert json.loads((trained_classifier / RUN_FILE).read_text())["recipe"] == trained.recipe.to_json()
    curves = read_curves(trained_classifier)
    assert curves.keys() >= {"train/loss", "val/top1", "val/top5", "val/loss"}
    assert len(curves["val/top1"]) == 2


def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(
    make_image_run: MakeRun,
    trained_classifier: Path,
    fit_broken_off: Callable[..., None],
    assert_same_model: Callable[[Path, Path], None],
    tmp_path: Path,
) -> None:
    """The pictures of a pass, how they are changed and mixed, and dropout are functions of the step."""
    out = tmp_path / "run"
    fit_broken_off(ImageTask, 5, make_image_run(out), make_image_run(out))
    assert_same_model(out, trained_classifier)


def test_a_run_without_a_block_and_one_with_a_trained_block_train(make_image_run: MakeRun, tmp_path: Path) -> None:
    from perception_tools.training.recipes import BlockRecipe

    for name, block in (("none", BlockRecipe(kind="none")), ("ft", BlockRecipe(source="random:32x48x4", frozen=False))):
        fit(make_image_run(tmp_path / name, {"passes": 1, "block": block}))
        trained = load_classifier(tmp_path / name)
        assert any(p.requires_grad for n, p in trained.model.named_parameters() if "block." in n) == (name == "ft")


def test_a_broken_picture_is_named_and_training_goes_on(
    write_pictures: Callable[..., Path], make_image_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pictures(tmp_path / "data")
    broken = data / "train" / "n01440764" / "n01440764_0.png"
    broken.write_bytes(b"")
    fit(make_image_run(tmp_path / "run", {"passes": 1}, data=data))
    assert "1 training pictures could not be read, others took their places" in capsys.readouterr().out
    assert load_classifier(tmp_path / "run").training.steps == 3


def test_the_classes_of_a_list_keep_its_order(make_image_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("n01484850\nn01440764\n\nn01443537\n")
    train, val = open_splits(make_image_run(tmp_path / "run", classes=tmp_path / "classes.txt"))
    assert train.classes == val.classes == ("n01484850", "n01440764", "n01443537")


def test_an_empty_list_of_classes_is_refused(make_image_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("\n")
    with pytest.raises(InputError, match="expected the name of a class in each line, found none"):
        open_splits(make_image_run(tmp_path / "run", classes=tmp_path / "classes.txt"))


def test_a_trained_vit_can_be_the_start(make_image_run: MakeRun, tmp_path: Path) -> None:
    job = image_job(make_image_run(tmp_path / "a"))
    assert isinstance(job.task, ImageTask)
    start = {name: torch.full_like(value, 0.01) for name, value in job.task.model.encoder.state_dict().items()}
    torch.save(start, tmp_path / "vit.pth")
    begun = image_job(make_image_run(tmp_path / "b", start_from=tmp_path / "vit.pth"))
    assert isinstance(begun.task, ImageTask)
    weights = begun.task.model.encoder.state_dict()
    assert all(torch.equal(weights[name], start[name]) for name in start)


def test_a_part_of_the_training_pictures_can_stand_for_validation(make_image_run: MakeRun, tmp_path: Path) -> None:
    run = make_image_run(tmp_path / "run", held_out=0.25, val_split="nowhere")
    train, val = open_splits(run)
    assert (train.split, val.split, len(train), len(val)) == ("train", "train", 18, 6)
    assert not {r.id for r in train} & {r.id for r in val}
    few, same = open_splits(make_image_run(tmp_path / "run", held_out=0.25, limit=6))
    assert len(few) == 6
    assert [r.id for r in same] == [r.id for r in val], "what is kept apart does not depend on the limit"


def test_broken_validation_pictures_are_named_and_not_counted(
    write_pictures: Callable[..., Path], make_image_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pictures(tmp_path / "data")
    broken = sorted((data / "val").glob("*/*.png"))
    for path in broken[1:]:
        path.write_bytes(b"")
    fit(make_image_run(tmp_path / "run", {"passes": 1}, data=data))
    assert "11 validation pictures could not be read, they are not counted" in capsys.readouterr().out
    broken[0].write_bytes(b"")
    with pytest.raises(InputError, match="validation: expected pictures that can be read, found 12 that cannot"):
        fit(make_image_run(tmp_path / "other", {"passes": 1}, data=data))


def test_a_limit_beyond_the_size_takes_everything(make_image_run: MakeRun, tmp_path: Path) -> None:
    train, val = open_splits(make_image_run(tmp_path / "run", limit=10_000, val_limit=10_000))
    assert (len(train), len(val)) == (24, 12)
