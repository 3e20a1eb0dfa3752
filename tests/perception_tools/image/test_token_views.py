from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from perception.analysis.filtering import grid_targets
from perception.errors import InputError
from perception_tools.analysis.filtering.views import Asked
from perception_tools.image.model import TrainedClassifier, load_classifier, save_classifier
from perception_tools.image.token_views import NO_MASK, picture_views
from perception_tools.main import main


@pytest.fixture(scope="module")
def masks(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask of ImageNet-S for all val pictures but one; one is empty, one is of another size."""
    folder = tmp_path_factory.mktemp("masks")
    for number, path in enumerate(sorted((pictures / "val").glob("*/*.png"))):
        with Image.open(path) as picture:
            width, height = picture.size
        ids = np.zeros((height, width + (number == 2)), np.uint8)
        if number != 1:
            ids[: height // 2, : width // 2] = 7
        place = folder / path.relative_to(pictures / "val")
        place.parent.mkdir(parents=True, exist_ok=True)
        if number:
            Image.fromarray(np.stack([ids, 0 * ids, 0 * ids], -1)).save(place)
    return folder


def test_the_patches_of_a_view_are_those_that_the_model_sees(
    trained_classifier: Path, pictures: Path, masks: Path
) -> None:
    trained = load_classifier(trained_classifier)
    views = picture_views([trained, trained], Asked(pictures, masks, "val"))
    records = list(views.records)
    assert views.left_out == {NO_MASK: 1}
    assert len(records) == 12 - 1 - len(views.failures)
    (fault,) = views.failures.reasons.values()
    assert "expected a mask of" in fault
    for view, again in records:
        assert {name: value.shape[0] for name, value in view.stages.items()} == dict.fromkeys(view.stages, 4)
        assert list(view.stages) == ["encoder", "project_in", "attention", "feed_forward", "project_out", "output"]
        assert view.attention is not None
        assert view.attention_stage == "attention"
        assert view.attention.shape == (4,)
        assert all(np.array_equal(view.stages[name], again.stages[name]) for name in view.stages)
        assert view.target is not None
        assert view.target.tolist() in ([True, False, False, False], [False] * 4)  # upper left, or the empty mask
    assert sum(not view.target.any() for view, _ in records if view.target is not None) == 1


def test_features_are_those_of_the_tokens_behind_the_class_token(trained_classifier: Path, pictures: Path) -> None:
    trained = load_classifier(trained_classifier)
    ((view,), *_) = picture_views([trained], Asked(pictures, None, "val", limit=3)).records
    from perception.models.image_stages import read_stages
    from perception_datasets.images.open_pictures import open_pictures

    split = open_pictures(pictures, "val", limit=3)
    images = trained.model.collate([trained.model.prepare(split.decode(split[0]))])
    stages = read_stages(trained.model, images)
    np.testing.assert_allclose(view.stages["encoder"], stages.block.encoder[0, 1:].numpy(), rtol=1e-6)
    np.testing.assert_allclose(view.attention, stages.cls_attention[0].sum(0)[1:].numpy(), rtol=1e-6)  # pyright: ignore
    assert view.target is None


def test_a_picture_and_its_heat_can_be_drawn(trained_classifier: Path, pictures: Path, masks: Path) -> None:
    trained = load_classifier(trained_classifier)
    for asked in (Asked(pictures, masks, "val", 4), Asked(pictures, None, "val", 1)):
        for (view,) in picture_views([trained], asked).records:
            for values in (None, np.linspace(0, 1, 4)):
                axes = Figure().subplots()
                view.draw(axes, values)
                (image,) = axes.get_images()
                assert image.get_array() is not None


def without_block(trained: TrainedClassifier, path: Path) -> Path:
    """A model file of the same encoder without its block."""
    from perception_tools.image.model import build_classifier

    recipe = replace(trained.recipe, block=replace(trained.recipe.block, kind="none"))
    model = build_classifier(recipe, len(trained.classes))
    plain = replace(trained.training, name="image/vit-micro")
    save_classifier(path, model, recipe, trained.classes, plain)
    return path


def test_the_contracts_command_writes_numbers_and_a_page(
    trained_classifier: Path, pictures: Path, masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = without_block(load_classifier(trained_classifier), tmp_path / "plain.safetensors")
    places = ["--data", str(pictures), "--masks", str(masks), "--out", str(tmp_path / "out"), "--pictures", "2"]
    assert main(["analyse", "filtering", str(trained_classifier), "--beside", str(plain), *places]) == 0
    numbers = json.loads((tmp_path / "out" / "filtering.json").read_text())
    assert numbers["pictures"] == 9
    assert numbers["left_out"] == {NO_MASK: 1, "no token is of the target": 1}
    assert len(numbers["failures"]) == 1
    assert list(numbers["miou"]["attention"]) == ["magnitude", "frequency", "attention"]
    assert list(numbers["others"]["image/vit-micro"]["miou"]) == ["encoder"]
    assert 0 <= numbers["miou"]["project_out"]["frequency"] <= 1
    assert numbers["baselines"]["everything"]["miou"] == pytest.approx(0.25)
    out = capsys.readouterr().out
    assert "knows nothing: a box in the middle" in out
    assert "1 of " in out  # the mask of another size
    html = (tmp_path / "out" / "filtering.html").read_text()
    assert html.count('class="chart scroll example"') == 2
    assert "data:image/png;base64" in html


@pytest.mark.parametrize("inside", ["added", "normed"])
def test_what_stands_for_a_part_of_the_block_can_be_chosen(
    inside: str, trained_classifier: Path, pictures: Path
) -> None:
    trained = load_classifier(trained_classifier)
    views = [
        next(iter(picture_views([trained], Asked(pictures, None, "val", 1, kind)).records))[0]  # pyright: ignore
        for kind in ("sum", inside)
    ]
    assert np.array_equal(views[0].stages["encoder"], views[1].stages["encoder"])
    assert not np.allclose(views[0].stages["feed_forward"], views[1].stages["feed_forward"])


def test_masks_that_are_none_are_refused(trained_classifier: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected masks of split 'val'"):
        picture_views([load_classifier(trained_classifier)], Asked(pictures, tmp_path, "val"))


def test_targets_follow_the_crop_of_the_picture() -> None:
    from perception.images.picture_input import PictureInput

    mask = np.zeros((64, 64), bool)
    mask[:, 32:] = True
    shown = PictureInput(32, 32, crop_pct=0.5).cropped_mask(mask)
    target, _ = grid_targets(shown, np.ones_like(shown), (2, 2))
    assert target.tolist() == [False, True, False, True]
