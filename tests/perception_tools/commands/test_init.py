from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from perception_nodes.operations.deployment import Deployment, read_deployment
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import ODOMETRY, POINT_CLOUD, TRACKED_OBJECTS, topic_of
from perception_nodes.ros.topics import RosNode, open_session
from perception_nodes.ros.wire import RmwZenoh
from perception_tools.main import main

TOPICS = {"/tracker/out": TRACKED_OBJECTS, "/odom": ODOMETRY, "/lidar": POINT_CLOUD}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    with Recorder(tmp_path / "drive.mcap", lossless=True) as recorder:
        for name, kind in TOPICS.items():
            recorder.record(topic_of(name, kind), 1, b"\x00\x01\x00\x00")
    return tmp_path / "drive.mcap"


def init(out: Path, *words: object) -> int:
    return main(["init", "robot", str(out), *map(str, words)])


def test_a_deployment_is_written_from_a_log_and_passes_the_check(
    trained_run: Path,
    trained_answerer: Path,
    log: Path,
    tmp_path: Path,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    out = tmp_path / "robots" / "robot.yaml"
    words = ["--checkpoint", trained_run, trained_answerer, "--log", log, "--connect", place]
    assert init(out, *words, "--json", tmp_path / "a.json") == 0
    plan = read_deployment(out)
    forecaster, answerer = plan.nodes.values()
    assert {name: getattr(forecaster, name) for name in ("objects", "ego", "map")} == {
        "objects": "/tracker/out",
        "ego": "/odom",
        "map": "/map/polylines",
    }
    assert (getattr(answerer, "clouds"), getattr(answerer, "ego")) == ("/lidar", "/odom")  # noqa: B009
    assert forecaster.checkpoint.resolve() == trained_run.resolve()
    assert plan.router.listen == place
    assert (plan.service, plan.foxglove, plan.security) == (None, None, None)
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["nodes"] == ["forecast", "scene_qa"]
    assert told["findings"] == []
    assert "forecast.map: The robot has no topic of forecast_msgs/msg/PolylineMap" in capsys.readouterr().out
    assert main(["up", str(out), "--check"]) == 0
    assert "node forecast" in capsys.readouterr().out


def test_every_key_is_there_with_a_comment(trained_run: Path, log: Path, tmp_path: Path) -> None:
    assert init(tmp_path / "a.yaml", "--checkpoint", trained_run, "--log", log) == 0
    lines = (tmp_path / "a.yaml").read_text().splitlines()
    assert lines[0].startswith("# Written by `perception init robot` from drive.mcap.")
    for before, line in pairwise(lines):
        if line.strip() and not line.lstrip().startswith("#") and line.strip() not in ("nodes:", "router:"):
            assert before.lstrip().startswith("#"), line
    node = read_deployment(tmp_path / "a.yaml").nodes["forecast"]
    keys = {line.split(":")[0].strip() for line in lines if line.startswith("    ") and "#" not in line}
    assert keys == {"kind", *vars(node)}


def test_its_commented_sections_can_be_uncommented(trained_run: Path, log: Path, tmp_path: Path) -> None:
    assert init(tmp_path / "a.yaml", "--checkpoint", trained_run, "--log", log) == 0
    lines = (tmp_path / "a.yaml").read_text().splitlines()
    start = lines.index("# foxglove:")
    end = next(number for number in range(start, len(lines)) if not lines[number])
    lines[start:end] = [line.removeprefix("# ") for line in lines[start:end]]
    (tmp_path / "b.yaml").write_text("\n".join(lines) + "\n")
    assert read_deployment(tmp_path / "b.yaml").foxglove is not None


def test_a_file_that_is_there_stays_without_force(
    trained_run: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.yaml"
    out.write_text("mine")
    assert init(out, "--checkpoint", trained_run, "--log", log) == 2
    assert "expected no file there, found one; give another name, or --force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert init(out, "--checkpoint", trained_run, "--log", log, "--force") == 0
    assert isinstance(read_deployment(out), Deployment)


def test_two_runs_of_one_kind_get_names_of_their_own(trained_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.yaml"
    assert init(out, "--checkpoint", trained_run, trained_run, "--topics", f"/odom:{ODOMETRY}") == 0
    assert list(read_deployment(out).nodes) == ["forecast", "forecast_2"]


def test_topics_are_found_where_they_are_announced(router: str, trained_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.yaml"
    with open_session([router]) as session, RosNode(session, RmwZenoh(node="tracker", domain=3)) as ros:
        for name, kind in TOPICS.items():
            ros.publisher(topic_of(name, kind))
        words = ["--connect", router, "--domain", "3"]
        assert init(out, "--checkpoint", trained_run, *words, "--json", tmp_path / "a.json") == 0
    assert json.loads((tmp_path / "a.json").read_text())["topics"] == TOPICS
    assert read_deployment(out).nodes["forecast"].domain == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--topics", "odom"], "expected NAME:PACKAGE/msg/TYPE"),
        (["--topics", f"odom:{ODOMETRY}"], "topic name 'odom': expected an absolute ROS name"),
        (["--topics", f"/odom:{ODOMETRY}", "--log", "x.mcap"], "expected one of them, got both"),
        (["--log", "x.mcap"], "x.mcap: no such file; expected a ROS 2 recording"),
        (["--connect", "tcp/127.0.0.1:9"], "expected a router, found nobody who listens"),
    ],
)
def test_mistakes_are_one_sentence(
    trained_run: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(tmp_path / "a.yaml", "--checkpoint", trained_run, *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a.yaml").exists()


def test_a_router_without_publishers_is_told_from_none(
    router: str, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--checkpoint", trained_run, "--connect", router, "--discover-s", "0.1"]
    assert init(tmp_path / "a.yaml", *words) == 2
    assert "expected publishers in domain 0 at the router within 0.1 s, found none" in capsys.readouterr().err
