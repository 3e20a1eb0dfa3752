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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from perception_nodes.operations.deployment import EGO, FORECASTS, MAP, OBJECTS, read_deployment
from perception_nodes.ros.autoware import ODOMETRY, odometry_of, tracked_objects_of
from perception_nodes.ros.cdr import read_predicted_objects, write_tracked_objects
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import POLYLINE_MAP, PREDICTED_OBJECTS, TRACKED_OBJECTS, serialize, topic_of
from perception_nodes.ros.topics import RosNode, open_secure_session
from perception_nodes.ros.wire import LATCHED, RmwZenoh
from perception_tools.main import main
from perception_tools.streaming.drive import open_drive


def test_a_node_of_a_deployment_starts_is_asked_how_it_is_and_stops(trained_run: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"tcp/127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "deployment.yaml"
    ego = f"{{checkpoint: {trained_run}, precision: int8_dynamic, metrics: 0}}"
    config.write_text(f"router: {{listen: {place}}}\nnodes:\n  ego: {ego}\n")
    command = [sys.executable, "-m", "perception_tools.main", "node", "forecast", "--config", str(config)]
    with subprocess.Popen([*command, "--name", "ego"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["node"] == "ego"
            address = f"http://127.0.0.1:{ready['metrics']}"
            with urllib.request.urlopen(f"{address}/livez", timeout=5) as response:
                assert response.read() == b"ok\n"
            with pytest.raises(urllib.error.HTTPError, match="503") as unready:
                urllib.request.urlopen(f"{address}/readyz", timeout=5)
            assert unready.value.read() == b"no frame yet\n"
            unready.value.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            process.kill()


def test_a_node_that_the_file_does_not_know_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "deployment.yaml"
    config.write_text("nodes: {ego: {checkpoint: run}}")
    assert main(["node", "forecast", "--config", str(config)]) == 2
    assert "expected the node 'forecast', found ego" in capsys.readouterr().err


def test_a_node_with_a_certificate_forecasts_what_a_tracker_with_one_tracks(
    trained_run: Path, sensor_log: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"tls/127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "deployment.yaml"
    config.write_text(f"""
router: {{listen: {place}}}
nodes: {{ego: {{checkpoint: {trained_run}}}}}
security:
  certificates: papers
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
        tracker = read_deployment(config).identity_of("tracker")
        assert tracker is not None
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


@contextmanager
def running(*command: str) -> Iterator[dict]:
    """A process of ours from when it is ready on, and what it printed; it ends on SIGTERM."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            process.kill()
