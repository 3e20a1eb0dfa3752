from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from perception.errors import InputError
from perception.scenes.classes import NYU40
from perception.scenes.scene import Scene, SceneQuestion
from perception_tools.analysis.filtering.views import Asked
from perception_tools.main import main
from perception_tools.scene_qa.model import load_answerer
from perception_tools.scene_qa.token_views import _mentions, _named, scene_views


def test_proposals_fit_together_and_can_be_drawn(trained_answerer: Path, rooms_store: Path) -> None:
    trained = load_answerer(trained_answerer)
    views = scene_views([trained], Asked(rooms_store, None, "train", 2))
    records = list(views.records)
    assert len(records) == 2  # of two scenes
    for (view,) in records:
        tokens = len(view.counted)
        assert {len(value) for value in view.stages.values()} == {tokens}
        assert view.attention is not None
        assert view.attention.sum() == pytest.approx(1, abs=1e-5)
        assert view.attention_stage == list(view.stages)[-1]
        assert {len(v) for v in (*view.priors.values(), view.target)} == {tokens}  # pyright: ignore
        for values in (None, np.linspace(0, 1, tokens)):
            axes = Figure().subplots()
            view.draw(axes, values)
            assert len(axes.patches) >= tokens


def room(*classes: str) -> Scene:
    """Boxes of one metre side by side."""
    boxes = np.array([[2 * i, 0, 0.5, 1, 1, 1] for i in range(len(classes))], np.float32)
    numbers = np.array([NYU40.index(name) for name in classes], np.int64)
    ids = np.arange(1, len(classes) + 1)
    nothing = np.zeros((0, 3), np.float32)
    none = np.zeros(0, np.int64)
    return Scene("room", nothing, nothing.astype(np.uint8), none, none, boxes, numbers, ids)


def test_the_target_is_what_the_texts_name() -> None:
    question = SceneQuestion(1, "room", "I stand by the beds.", "Is the sofa red?", (), None)
    boxes = np.array([[0.3, 0, 0.5, 1, 1, 1], [2.6, 0, 0.5, 1, 1, 1], [4, 0.2, 0.4, 9, 9, 9]])
    found = _named(room("sofa", "chair", "bed"), question, boxes)
    assert found.tolist() == [True, False, True]  # the second lies beside its chair, which nobody names
    assert not _named(room("chair"), question, boxes).any()


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [("two beds", "bed", True), ("bedroom", "bed", False), ("boxes", "box", True), ("bookshelf", "books", False)],
)
def test_a_class_is_named_by_whole_words(words: str, name: str, expected: bool) -> None:
    assert _mentions(words, NYU40.index(name)) is expected


def test_no_object_is_unannotated_or_unknown() -> None:
    assert not _mentions("unannotated", 0)
    assert not _mentions("chair", 99)


def test_the_command_looks_at_rooms(trained_answerer: Path, rooms_store: Path, tmp_path: Path) -> None:
    places = ["--data", str(rooms_store), "--out", str(tmp_path / "out"), "--pictures", "1", "--limit", "2"]
    assert main(["analyse", "filtering", str(trained_answerer), *places]) == 0
    assert json.loads((tmp_path / "out" / "filtering.json").read_text())["records"] == 1  # the store's val scene


def test_models_that_see_nothing_and_masks_are_refused(trained_answerer: Path, rooms_store: Path) -> None:
    trained = load_answerer(trained_answerer)
    with pytest.raises(InputError, match="target is what it names"):
        scene_views([trained], Asked(rooms_store, rooms_store))
    trained.model.scene = None
    with pytest.raises(InputError, match="answers blindly"):
        scene_views([replace(trained)], Asked(rooms_store))
