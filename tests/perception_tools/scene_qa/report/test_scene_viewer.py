from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.scenes.classes import NYU40
from perception.scenes.scene import Scene, SceneQuestion, Viewpoint
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.scene_qa.report.scene_viewer import (
    LEAST_SHARE,
    POINTS_PER_SCENE,
    RADIUS_UNIT_M,
    SHOWN_PROPOSALS,
    Attention,
    ViewedQuestion,
    thin,
    write_scene_viewer,
)


@pytest.fixture(scope="module")
def viewed(rooms_store: Path) -> list[ViewedQuestion]:
    """All questions of the val room: the first answered rightly, with attention, the others wrongly."""
    questions = read_questions(rooms_store, "val")
    scene = open_scene_store(rooms_store).read(questions[0].scene_id).scene
    shares = np.array([0.5, 0.3, 0.2, 0.0])
    boxes = np.arange(24, dtype=np.float32).reshape(4, 6) / 10
    attention = Attention(boxes, ["</script>", "chair", "bed", "door"], shares[[2, 0, 1, 3]])
    first, *others = questions
    right = ViewedQuestion(first, scene, [*first.answers, "b"], [0.9, 0.123456], attention, first.viewpoint)
    return [right, *(ViewedQuestion(question, scene, ["zebra"]) for question in others)]


@pytest.fixture(scope="module")
def page(viewed: list[ViewedQuestion], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "viewer.html"
    write_scene_viewer(path, viewed, title="Of <rooms>", facts={"model": "<tiny>"})
    return path


def content_of(page: Path) -> dict:
    found = re.search(r'id="content">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def positions_of(packed: dict) -> np.ndarray:
    whole = np.frombuffer(base64.b64decode(packed["points"]), "<u2").reshape(-1, 3)
    return packed["low"] + whole * np.array(packed["step"])


def test_points_are_those_of_the_scan_within_a_tenth_of_a_millimetre(page: Path, viewed: list[ViewedQuestion]) -> None:
    (packed,) = content_of(page)["scenes"]
    scene = viewed[0].scene
    colors = np.frombuffer(base64.b64decode(packed["colors"]), np.uint8).reshape(-1, 3)
    positions, radii = positions_of(packed), np.frombuffer(base64.b64decode(packed["radii"]), np.uint8)
    assert len(positions) == len(colors) == len(radii) == sum(packed["groups"]) <= POINTS_PER_SCENE
    distance = np.abs(positions[::50, None] - scene.points).max(axis=2)
    assert distance.min(axis=1).max() < 1e-4
    np.testing.assert_array_equal(colors[::50], scene.colors[distance.argmin(axis=1)])
    assert 0.01 < np.median(radii) * RADIUS_UNIT_M < 0.2


def test_walls_come_by_the_side_that_they_stand_at(page: Path) -> None:
    (packed,) = content_of(page)["scenes"]
    parts = np.split(positions_of(packed), np.cumsum(packed["groups"])[:-1])
    low, high = parts[0].min(axis=0) - 0.5, parts[0].max(axis=0) + 0.5
    for part, axis, side in zip(parts[1:5], (0, 0, 1, 1), (low, high, low, high), strict=True):
        assert len(part) > 100
        assert np.abs(part[:, axis] - side[axis]).max() < 1.1


def test_a_question_is_written_with_all_that_is_known_of_it(page: Path, viewed: list[ViewedQuestion]) -> None:
    first, second, *_ = content_of(page)["questions"]
    question = viewed[0].question
    assert question.viewpoint is not None
    assert (first["id"], first["scene"], first["right"]) == (str(question.id), 0, True)
    assert (first["situation"], first["question"], first["true"]) == (
        question.situation,
        question.question,
        list(question.answers),
    )
    assert first["probabilities"] == [0.9, 0.1235]
    gaze = [*question.viewpoint.position[:2], *question.viewpoint.forward[:2]]
    np.testing.assert_allclose(first["asker"], gaze, atol=1e-3)
    assert first["guess"] == first["asker"]
    assert [[label, share] for _, label, share in first["attention"]] == [
        ["chair", 0.5],
        ["bed", 0.3],
        ["</script>", 0.2],
    ]
    np.testing.assert_allclose(first["attention"][0][0], np.arange(6, 12) / 10)
    assert (second["right"], second["probabilities"], second["attention"], second["guess"]) == (False, None, None, None)


def test_only_proposals_that_matter_are_written(tmp_path: Path, viewed: list[ViewedQuestion]) -> None:
    boxes, labels = np.zeros((256, 6), np.float32), ["chair"] * 256
    for shares, count in ((np.full(256, 1 / 256), SHOWN_PROPOSALS), (np.full(256, 0.9 * LEAST_SHARE), 0)):
        item = replace(viewed[0], attention=Attention(boxes, labels, shares))
        write_scene_viewer(tmp_path / "v.html", [item], title="", facts={})
        assert len(content_of(tmp_path / "v.html")["questions"][0]["attention"]) == count


def test_questions_of_a_scene_share_its_points_and_a_large_scan_takes_half_a_megabyte(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 200_000
    points = rng.uniform(0, [8, 6, 2.5], (count, 3)).astype(np.float32)
    nothing, none = np.zeros(count, np.int64), np.zeros(0, np.int64)
    colors = rng.integers(0, 256, (count, 3), np.uint8)
    scene = Scene("large", points, colors, nothing, nothing, np.zeros((0, 6), np.float32), none, none)
    asked = [SceneQuestion(i, "large", "", "What is it?", ("chair",), None) for i in range(50)]
    viewed = [ViewedQuestion(question, scene, ["bed"]) for question in asked]
    write_scene_viewer(tmp_path / "viewer.html", viewed, title="large", facts={})
    content = content_of(tmp_path / "viewer.html")
    assert (len(content["scenes"]), len(content["questions"])) == (1, 50)
    assert (tmp_path / "viewer.html").stat().st_size < 500_000
    assert content["questions"][0]["asker"] is None


def test_thinning_spreads_points_evenly_and_keeps_few_as_they_are() -> None:
    rng = np.random.default_rng(0)
    dense, sparse = rng.uniform(0, 1, (20_000, 3)), rng.uniform(0, 1, (2_000, 3)) + np.array([1, 0, 0])
    points = np.concatenate([dense, sparse]).astype(np.float32)
    chosen = thin(points, 1000)
    assert 800 < len(chosen) <= 1000
    assert 0.7 < (chosen < 20_000).mean() / (chosen >= 20_000).mean() < 1.8
    few = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    assert sorted(thin(few, 3)) == [0, 1, 2]


def test_what_looks_in_from_the_ceiling_is_a_group_of_its_own(tmp_path: Path, viewed: list[ViewedQuestion]) -> None:
    scene = viewed[0].scene
    ceiling = np.full_like(scene.semantic, NYU40.index("ceiling"))
    item = replace(viewed[0], scene=replace(scene, semantic=ceiling))
    write_scene_viewer(tmp_path / "viewer.html", [item], title="", facts={})
    assert content_of(tmp_path / "viewer.html")["scenes"][0]["groups"][:5] == [0] * 5


def test_the_page_asks_nothing_of_the_network_and_escapes_what_it_shows(page: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list) -> None:
            asked.extend((tag, value) for name, value in attrs if name in ("src", "href", "xlink:href", "action"))

    text = page.read_text()
    Parser().feed(text)
    assert asked == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(|innerHTML", text)
    assert "Of &lt;rooms&gt;" in text
    assert "&lt;tiny&gt;" in text
    assert text.count("</script>") == 2


def test_nothing_to_look_at_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected questions to look at, got none"):
        write_scene_viewer(tmp_path / "viewer.html", [], title="", facts={})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to look with")
def test_a_browser_draws_the_scene_from_all_sides(page: Path, tmp_path: Path, viewed: list[ViewedQuestion]) -> None:
    """Every view has coloured points, a click and a filter change the question, and no error is thrown."""
    tried = """
      const seen = {}, pixels = () => picture.pixels;
      const record = (name) => { draw(); seen[name] = pixels().filter((p) => p).length / pixels().length; };
      record("whole"); $("above").click(); record("above"); $("eyes").click(); record("eyes"); $("whole").click();
      turn(400, -100); pan(30, 10); zoom(0.7); $("objects").click(); record("turned");
      $("next").click(); seen.second = now.id; seen.card = $("card").textContent;
      $("verdict").value = "right"; filter(); seen.right = listed.map((q) => q.id);
      $("words").value = "no such words"; filter(); seen.none = $("list").textContent;
      document.body.dataset.seen = JSON.stringify(seen);
    """
    guard = '"use strict"; window.onerror = (message) => { document.body.dataset.error = message; };'
    text = page.read_text().replace('"use strict";', guard, 1)
    (tmp_path / "tried.html").write_text(text.replace("\nfilter();", f"\nfilter();\n{tried}"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--window-size=900,600"]
    profile = f"--user-data-dir={tmp_path / 'chromium'}"
    command = ["chromium", *options, profile, "--dump-dom", (tmp_path / "tried.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "data-error" not in shown
    assert int(re.search(r'data-points="(\d+)"', shown)[1]) > 1000  # pyright: ignore[reportOptionalSubscript]
    seen = json.loads(re.search(r'data-seen="([^"]*)"', shown)[1].replace("&quot;", '"'))  # pyright: ignore[reportOptionalSubscript]
    for view in ("whole", "above", "eyes", "turned"):
        assert 0.1 < seen[view] <= 1, view
    assert seen["second"] == str(viewed[1].question.id)
    assert f"question_id {seen['second']}, {viewed[1].scene.id}" in seen["card"]  # as in records.parquet
    assert seen["right"] == [str(viewed[0].question.id)]
    assert seen["none"] == "No question is like that."


def test_a_viewpoint_is_shown_in_the_floor_plane(tmp_path: Path, viewed: list[ViewedQuestion]) -> None:
    half = np.pi / 4
    turned = Viewpoint(np.array([1.0, 2.0, 9.0]), np.array([0.0, 0.0, np.sin(half), np.cos(half)]))
    item = replace(viewed[0], question=replace(viewed[0].question, viewpoint=turned))
    write_scene_viewer(tmp_path / "viewer.html", [item], title="", facts={})
    np.testing.assert_allclose(content_of(tmp_path / "viewer.html")["questions"][0]["asker"], [1, 2, 0, -1], atol=1e-9)
