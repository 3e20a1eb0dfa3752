from __future__ import annotations

import itertools
import json
import queue
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
from perception_nodes.forecasting.plan import FORECASTS, MAP, OBJECTS
from perception_nodes.operations.deployment import Deployment, read_deployment
from perception_nodes.ros.cdr import read_predicted_objects, write_tracked_objects
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import (
    ASK_SCENE,
    ODOMETRY,
    POLYLINE_MAP,
    PREDICTED_OBJECTS,
    SCENE_ANSWER,
    SCENE_QUESTION,
    TRACKED_OBJECTS,
    deserialize,
    header,
    make,
    serialize,
    service_of,
    topic_of,
)
from perception_nodes.ros.odometry import ODOMETRY_TOPIC as EGO
from perception_nodes.ros.topics import RosNode, open_secure_session
from perception_nodes.ros.wire import LATCHED, RmwZenoh
from perception_nodes.security.identity import Identity
from perception_tools.commands.up import commands
from perception_tools.forecasting.streaming.drive import open_drive
from perception_tools.main import main


def test_a_node_of_a_deployment_starts_is_asked_how_it_is_and_stops(
    trained_run: Path, tmp_path: Path, free_place: Callable[[str], str]
) -> None:
    place = free_place("tcp")
    config = tmp_path / "deployment.yaml"
    ego = f"{{kind: forecast, checkpoint: {trained_run}, precision: int8_dynamic, metrics: 0}}"
    config.write_text(f"router: {{listen: {place}}}\nnodes:\n  ego: {ego}\n")
    command = [sys.executable, "-m", "perception_tools.main", "node", "forecast", "--config", str(config)]
    with subprocess.Popen([*command, "--name", "ego"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["node"] == "ego"
            address = f"http://127.0.0.1:{ready['metrics']}"
            with urllib.request.urlopen(f"{address}/livez", timeout=60) as response:
                assert response.read() == b"ok\n"
            with pytest.raises(urllib.error.HTTPError, match="503") as unready:
                urllib.request.urlopen(f"{address}/readyz", timeout=5)
            assert unready.value.read() in (b"the model is not loaded yet\n", b"no objects yet\n")
            unready.value.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("mistake", ["checkpoint", "port"])
def test_a_mistake_of_the_users_ends_with_2_which_starting_again_would_not_mend(
    mistake: str, trained_run: Path, tmp_path: Path, free_place: Callable[[str], str]
) -> None:
    config = tmp_path / "deployment.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:  # found only once the model is loaded
        checkpoint = trained_run if mistake == "port" else "missing"
        ego = f"{{kind: forecast, checkpoint: {checkpoint}, metrics: {taken.getsockname()[1]}}}"
        config.write_text(f"router: {{listen: {free_place('tcp')}}}\nnodes: {{ego: {ego}}}\n")
        code, errors = outcome_of("node", "forecast", "--config", str(config), "--name", "ego")
    assert code == 2
    assert ("cannot be listened at" if mistake == "port" else "missing: expected a run's folder") in errors
    assert "Traceback" not in errors


def outcome_of(*words: str) -> tuple[int, str]:
    """The status that a command ends with by itself, and what it says on stderr."""
    command = [sys.executable, "-m", "perception_tools.main", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return ended.returncode, ended.stderr


def test_a_deployment_is_shown_to_foxglove(tmp_path: Path, free_place: Callable[[str], str]) -> None:
    pytest.importorskip("foxglove")
    config = tmp_path / "deployment.yaml"
    config.write_text(f"router: {{listen: {free_place('tcp')}}}\nfoxglove: {{port: 0, metrics: 0}}\n")
    assert list(commands(read_deployment(config), config)) == ["router", "foxglove"]
    command = commands(read_deployment(config), config)["foxglove"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["node"] == "foxglove"
            with socket.create_connection(("127.0.0.1", ready["foxglove"]), timeout=60):
                pass
            with urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics']}/readyz", timeout=60) as response:
                assert response.read() == b"ok\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_without_its_extra_foxglove_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("perception_tools.extras.find_spec", lambda _: None)
    assert main(["node", "foxglove", "--config", str(tmp_path / "deployment.yaml")]) == 2
    assert "pip install 'frozen-perception[foxglove]'" in capsys.readouterr().err


def test_a_node_that_the_file_does_not_know_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "deployment.yaml"
    config.write_text("nodes: {ego: {kind: forecast, checkpoint: run}}")
    assert main(["node", "forecast", "--config", str(config)]) == 2
    assert "expected the node 'forecast', found ego" in capsys.readouterr().err
    assert main(["node", "scene-qa", "--config", str(config)]) == 2
    assert "expected the node 'scene_qa', found none" in capsys.readouterr().err


def test_an_unknown_kind_is_answered_with_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "forecasting", "--config", str(tmp_path / "deployment.yaml")]) == 2
    expected = "there is no node of kind 'forecasting'; expected one of forecast, scene-qa, image"
    assert expected in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["node", "--help"])
    assert "{forecast,scene-qa,image,points,video}" in capsys.readouterr().out


def test_a_node_with_a_certificate_forecasts_what_a_tracker_with_one_tracks(
    trained_run: Path, sensor_log: Path, tmp_path: Path, free_place: Callable[[str], str]
) -> None:
    place = free_place("tls")
    config = tmp_path / "deployment.yaml"
    config.write_text(f"""
router: {{listen: {place}}}
nodes: {{ego: {{kind: forecast, checkpoint: {trained_run}, max_age_s: .inf}}}}
security:
  certificates: tls
  others:
    tracker:
      publishes: [{OBJECTS}, {EGO}, {MAP}]
      subscribes: [{FORECASTS}]
""")
    assert main(["certificates", str(config)]) == 0
    perception = [sys.executable, "-m", "perception_tools.main"]
    drive, heard = open_drive(sensor_log), queue.Queue[bytes]()
    with (
        running(*perception, "serve", "router", "--config", str(config)),
        running(*perception, "node", "forecast", "--config", str(config), "--name", "ego"),
    ):
        tracker = _identity(read_deployment(config), "tracker")
        with open_secure_session(place, tracker) as session, RosNode(session, RmwZenoh(node="tracker")) as ros:
            ros.subscribe(topic_of(FORECASTS, PREDICTED_OBJECTS), lambda received: heard.put(received.cdr))
            ros.publisher(topic_of(MAP, POLYLINE_MAP, LATCHED)).put(
                serialize(map_message(drive.lanes, drive.city), POLYLINE_MAP)
            )
            ego, objects = ros.publisher(topic_of(EGO, ODOMETRY)), ros.publisher(topic_of(OBJECTS, TRACKED_OBJECTS))
            end = time.monotonic() + 60
            for frame in itertools.cycle(drive.frames):
                assert time.monotonic() < end, "no forecast came"
                ego.put(serialize(odometry_of(frame), ODOMETRY))
                objects.put(write_tracked_objects(tracked_objects_of(frame, np.zeros((len(frame), 2)))))
                try:
                    forecast = read_predicted_objects(heard.get(timeout=0.1))
                    break
                except queue.Empty:
                    continue
    assert forecast.stamp_ns in {frame.stamp_ns for frame in drive.frames}
    assert len(forecast.pose_counts) > 0


def test_a_scene_question_node_answers_over_tls_and_with_the_shared_block_what_the_evaluation_answers(
    trained_answerer: Path, rooms_store: Path, tmp_path: Path, free_place: Callable[[str], str]
) -> None:
    open3d = pytest.importorskip("open3d", reason="the extra [lidar] is not installed")
    from perception_datasets.stores.questions import read_questions
    from perception_datasets.stores.scenes import open_scene_store
    from perception_tools.scene_qa.evaluate import evaluate_answerers

    evaluate_answerers((trained_answerer,), rooms_store, tmp_path / "offline", split="val")
    offline = json.loads((tmp_path / "offline" / "predictions.json").read_text())
    assert main(["block", "fold", str(trained_answerer), str(tmp_path / "folded"), "--precisions", "float32"]) == 0
    questions = read_questions(rooms_store, "val")[:6]
    scene = open_scene_store(rooms_store).read(questions[0].scene_id).scene
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(scene.points.astype(float)))
    cloud.colors = open3d.utility.Vector3dVector(scene.colors / 255)
    assert open3d.io.write_point_cloud(str(tmp_path / "room.ply"), cloud)
    config, place = tmp_path / "deployment.yaml", free_place("tls")
    config.write_text(f"""
router: {{listen: {place}}}
service: {{folder: folded/float32}}
nodes:
  answerer:
    {{kind: scene-qa, checkpoint: {trained_answerer}, scan: room.ply, metrics: 0, block: scene-qa-rooms-llama}}
security: {{certificates: tls, others: {{asker: {{asks: [/scene_qa/ask]}}, nosy: {{subscribes: [/scene_qa/ask]}}}}}}
""")
    assert main(["certificates", str(config)]) == 0
    plan = read_deployment(config)
    router, block, node = commands(plan, config).values()
    service = RmwZenoh().key(service_of("/scene_qa/ask", ASK_SCENE))
    with (
        running(*router),
        running(*block),
        running(*node) as ready,
        open_secure_session(place, _identity(plan, "asker")) as asker,
        open_secure_session(place, _identity(plan, "nosy")) as nosy,
    ):
        with urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics']}/readyz", timeout=60) as response:
            assert response.read() == b"ok\n"
        end = time.monotonic() + 60
        while not any(reply.ok for reply in asker.get(service, payload=b"", timeout=10.0)):
            assert time.monotonic() < end, "the service does not answer"
        for question in questions:
            cdr = serialize(_scene_question(question.question, question.situation), SCENE_QUESTION)
            (reply,) = asker.get(service, payload=cdr, timeout=30.0)
            assert reply.ok is not None
            answer = deserialize(reply.ok.payload.to_bytes(), SCENE_ANSWER)
            given = [answer.answer, *answer.alternatives] if answer.answer else answer.alternatives
            assert given == offline[str(question.id)]["answer_top10"][: len(given)]
            assert len(given) >= 9
            assert answer.model_id.startswith("scene-qa/rooms-llama@")
        assert list(nosy.get(service, payload=cdr, timeout=2.0)) == []
        with urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics']}/metrics", timeout=60) as response:
            metrics = response.read()
        assert b"perception_scene_qa_scenes_encoded 1.0" in metrics
        for name in ("answerer", "ca", "router"):
            assert f'perception_certificate_expires_in_seconds{{certificate="{name}"}}'.encode() in metrics


def _scene_question(text: str, situation: str) -> Any:
    none = make("builtin_interfaces/msg/Duration", sec=0, nanosec=0)
    said = {"question_id": "q", "question": text, "situation": situation, "language": "en", "answer_mode": 0}
    return make(SCENE_QUESTION, header=header(0, "map"), **said, deadline=none, viewpoint=[])


def _identity(plan: Deployment, name: str) -> Identity:
    identity = plan.identity_of(name)
    assert identity is not None
    return identity


@contextmanager
def running(*command: str) -> Iterator[dict]:
    """A process of ours from when it is ready on, and what it printed; it ends on SIGTERM."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
