from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from perception.errors import InputError
from perception.frozen.stages import block_stages, noted_inputs
from perception_datasets.clouds.open_clouds import open_clouds
from perception_tools.analysis.filtering.pictures import heat_colours
from perception_tools.analysis.filtering.views import Asked
from perception_tools.main import main
from perception_tools.points.model import TrainedClassifier, build_classifier, load_classifier, save_classifier
from perception_tools.points.token_views import cloud_views, projected


def test_the_tokens_of_a_view_are_the_groups_behind_the_class_token(trained_points: Path, clouds: Path) -> None:
    trained = load_classifier(trained_points)
    records = list(cloud_views([trained, trained], Asked(clouds, split="test", limit=3)).records)
    assert len(records) == 3
    split = open_clouds(clouds, "test", limit=3)
    for record, (view, again) in zip(split, records, strict=True):
        points = trained.model.collate([trained.model.prepare(split.decode(record))])
        with noted_inputs(trained.model.block) as given:
            trained.model(points)
        stages = block_stages(trained.model.block, given[0]).named()  # pyright: ignore[reportArgumentType]
        assert list(view.stages) == list(stages)
        for name, values in stages.items():
            np.testing.assert_allclose(view.stages[name], values[0, 1:].detach().numpy(), rtol=1e-5, atol=1e-6)
            assert np.array_equal(view.stages[name], again.stages[name])
        assert view.attention is not None
        assert view.attention.shape == (4,)
        assert view.target is None
        assert view.id == record.id


def test_points_have_the_colour_of_the_group_that_is_nearest(trained_points: Path, clouds: Path) -> None:
    trained = load_classifier(trained_points)
    ((view,),) = cloud_views([trained], Asked(clouds, split="test", limit=1)).records
    split = open_clouds(clouds, "test", limit=1)
    points = trained.model.prepare(split.decode(split[0]))
    centres = trained.model.encoder.group(points.unsqueeze(0)).centres[0]
    nearest = (points[:, None] - centres).norm(dim=-1).argmin(1).numpy()
    values = np.linspace(0, 1, 4)
    axes = Figure().subplots()
    view.draw(axes, values)
    first, second = axes.collections
    for drawn in (first, second):
        assert len(np.asarray(drawn.get_offsets())) == 32
    found = {tuple(colour) for colour in np.asarray(first.get_facecolor())[:, :3].round(6)}
    assert found == {tuple(colour) for colour in heat_colours(values)[np.unique(nearest)].round(6)}
    axes = Figure().subplots()
    view.draw(axes, None)
    assert len(axes.collections) == 2


@given(st.floats(-180, 180), st.floats(-90, 90), st.integers(0, 2**32 - 1))
def test_a_viewpoint_turns_the_cloud_and_keeps_up_up(azimuth: float, elevation: float, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(5, 3))
    seen = projected(points, azimuth, elevation)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), np.linalg.norm(points, axis=1), atol=1e-9)
    up = projected(np.array([[0.0, 0.0, 1.0]]), azimuth, elevation)[0]
    assert abs(up[0]) < 1e-9
    assert up[1] >= -1e-9
    np.testing.assert_allclose(projected(points, azimuth, 0)[:, 1], points[:, 2], atol=1e-9)


def without_block(trained: TrainedClassifier, path: Path) -> Path:
    """A model file of the same encoder without its block."""
    recipe = replace(trained.recipe, block=replace(trained.recipe.block, kind="none"))
    model = build_classifier(recipe, len(trained.classes))
    save_classifier(path, model, recipe, trained.classes, replace(trained.training, name="points/micro"))
    return path


def test_the_command_writes_numbers_and_a_page_with_models_side_by_side(
    trained_points: Path, clouds: Path, tmp_path: Path
) -> None:
    plain = without_block(load_classifier(trained_points), tmp_path / "plain.safetensors")
    places = ["--data", str(clouds), "--split", "test", "--out", str(tmp_path / "out"), "--pictures", "2"]
    assert main(["analyse", "filtering", str(trained_points), "--beside", str(plain), *places]) == 0
    numbers = json.loads((tmp_path / "out" / "filtering.json").read_text())
    assert (numbers["noun"], numbers["records"], numbers["miou"]) == ("clouds", 12, {})
    html = (tmp_path / "out" / "filtering.html").read_text()
    assert html.count('class="chart scroll example"') == 2
    assert "None of them has a target" in html


def test_clouds_without_a_point_are_left_out_by_name(
    trained_points: Path, write_clouds: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_clouds(tmp_path / "some", train=1, test=2)
    np.save(folder / "test" / "ball" / "0.npy", np.full((5, 3), np.nan, np.float32))
    views = cloud_views([load_classifier(trained_points)], Asked(folder, split="test"))
    assert len(list(views.records)) == 5
    (fault,) = views.failures.reasons.values()
    assert "expected at least one point with finite coordinates" in fault


def test_there_are_no_masks_of_clouds(trained_points: Path, clouds: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clouds have no targets; leave it out"):
        cloud_views([load_classifier(trained_points)], Asked(clouds, tmp_path, "test"))
