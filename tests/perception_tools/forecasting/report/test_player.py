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
from perception.geometry import SE2
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.node import ForecastingNode
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.report.player import LEAST_PROBABILITY, UNIT_M, write_player
from perception_tools.forecasting.streaming.drive import Drive, open_drive
from perception_tools.forecasting.streaming.playback import ReplayClock, play_lockstep

FACTS = {"model": "<tiny>"}


@pytest.fixture(scope="module")
def drive(sensor_log: Path) -> Drive:
    return open_drive(sensor_log)


@pytest.fixture(scope="module")
def log(sensor_log: Path) -> SensorLog:
    return read_log(sensor_log)


@pytest.fixture(scope="module")
def results(drive: Drive, trained_run: Path) -> list[ForecastResult]:
    """Answers to all frames but the fourth, which is dropped, and the second, which cannot be answered."""
    trained, clock = load_model(trained_run), ReplayClock()
    node = ForecastingNode(clock=clock)
    node.configure(trained.model, history_steps=20, model_id="tiny")
    node.activate()
    frames = list(drive.frames)
    early = play_lockstep(node, clock, frames[1:2], lambda *_: None)
    node.set_map(drive.lanes)
    return early + play_lockstep(node, clock, frames[2:3] + frames[4:], lambda *_: None)


@pytest.fixture(scope="module")
def page(drive: Drive, results: list[ForecastResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("player") / "player.html"
    write_player(path, drive, results, FACTS)
    return path


def content_of(page: Path) -> dict:
    found = re.search(r'id="content">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def unpacked(text: str, *columns: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<i2").reshape(-1, *columns)


def test_everyone_is_where_the_log_has_them(page: Path, log: SensorLog) -> None:
    content = content_of(page)
    assert content["agents_of"] == log.valid.sum(axis=0).tolist()
    agents = unpacked(content["agents"], 4)
    first = agents[: content["agents_of"][0]]
    assert first[:, 0].tolist() == list(range(len(log.ids)))
    np.testing.assert_allclose(first[:, 1:3] * UNIT_M, log.position[:, 0] - log.position[0, 0], atol=UNIT_M / 2)
    np.testing.assert_allclose(first[:, 3] / 1e3, log.heading[:, 0], atol=5e-4)
    assert [track["kind"] for track in content["tracks"]] == ["vehicle", "vehicle", "bus", "pedestrian", "construction"]


def test_futures_are_what_the_node_said_every_half_second(
    page: Path, log: SensorLog, results: list[ForecastResult]
) -> None:
    content = content_of(page)
    assert [answer["reason"] for answer in content["answers"][:5]] == [
        "dropped: the node was busy",
        "no map yet",
        "",
        "dropped: the node was busy",
        "",
    ]
    shown = [result.probabilities >= LEAST_PROBABILITY for result in results]
    assert [answer["modes"] for answer in content["answers"]][4:] == [int(modes.sum()) for modes in shown[2:]]
    points = unpacked(content["points"], content["points_per_mode"], 2)
    modes = unpacked(content["modes"], 4)
    assert len(points) == len(modes) == sum(modes.sum() for modes in shown)
    last = results[-1].trajectories[shown[-1]][:, 4::5] - log.position[0, 0]
    np.testing.assert_allclose(points[-len(last) :] * UNIT_M, last, atol=UNIT_M / 2 + 1e-9)
    np.testing.assert_allclose(modes[-len(last) :, 1], 100 * results[-1].probabilities[shown[-1]], atol=0.5)


def test_each_future_says_where_it_comes_from_and_why(page: Path, results: list[ForecastResult]) -> None:
    content = content_of(page)
    assert content["sources"][0] == "model"
    assert [(answer["source"], answer["by_model"]) for answer in content["answers"][:3]] == [
        ("none", 0),
        ("fallback", 0),
        ("model", len(results[1].by_model)),
    ]
    first, second = content["answers"][1]["modes"], content["answers"][2]["modes"]
    modes = unpacked(content["modes"], 4)
    assert first == len(results[0].objects) == 4
    assert "model" not in {content["sources"][source] for source in modes[:first, 2]}
    assert content["reasons"][modes[3, 3]] == "kind"  # the cone
    by_model = modes[first : first + second]
    by_model = by_model[by_model[:, 2] == 0]
    assert {content["reasons"][reason] for reason in by_model[:, 3]} <= {"none"}


def test_the_page_asks_nothing_of_the_network_and_escapes_what_it_shows(page: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list) -> None:
            asked.extend((tag, value) for name, value in attrs if name in ("src", "href", "xlink:href", "action"))

    text = page.read_text()
    Parser().feed(text)
    assert asked == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert "&lt;tiny&gt;" in text


def test_a_replay_without_any_answer_is_shown_as_one(tmp_path: Path, drive: Drive) -> None:
    write_player(tmp_path / "player.html", drive, [], {})
    content = content_of(tmp_path / "player.html")
    assert (content["points"], content["modes"], content["points_per_mode"]) == ("", "", 0)
    assert {answer["reason"] for answer in content["answers"]} == {"dropped: the node was busy"}


def test_without_any_ego_pose_there_is_nothing_to_look_at(tmp_path: Path, drive: Drive) -> None:
    nowhere = [replace(frame, city_SE2_ego=SE2(np.nan, np.nan, np.nan)) for frame in drive.frames]
    with pytest.raises(InputError, match="log0: expected frames with an ego pose, found none"):
        write_player(tmp_path / "player.html", replace(drive, frames=nowhere), [], {})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to look with")
def test_a_browser_plays_it_to_the_end(page: Path, tmp_path: Path) -> None:
    """Without a display there are no animation frames, so a timer stands in for them."""
    timer = '"use strict"; window.requestAnimationFrame = (f) => setTimeout(() => f(performance.now()), 16);'
    played = (
        page.read_text()
        .replace('"use strict";', timer)
        .replace("makeStrip();\n//", "makeStrip(); setTimeout(play, 9);\n//")
    )
    (tmp_path / "played.html").write_text(played)

    def look(page: Path, milliseconds: int) -> str:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--virtual-time-budget={milliseconds}"]
        profile = f"--user-data-dir={tmp_path / 'chromium'}"
        command = ["chromium", *options, profile, "--dump-dom", page.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        found = re.search(r'id="readout">([^<]*)', shown)
        assert found
        return found[1]

    assert look(page, 500).startswith("0.0 s · frame 1/30")
    assert look(tmp_path / "played.html", 5000).startswith(
        "2.9 s · frame 30/30 · 3 of 4 agents by the model, 1 extrapolated"
    )
