"""Runs the processes of a compose file without a container engine, until all are healthy, and stops them.

Usage: run_compose.py COMPOSE_FILE BIN ROBOT

BIN is the folder of the image's programs, ROBOT the folder to put in the place of /robot: an untrained forecaster, a
map and a drive are written there. Each process runs as the file's user, with a root that is mounted read-only and a
/tmp of its own, where this process may do that.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from perception.geometry import SE2
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import MapPolylines
from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.forecasting.tick import Tick
from perception_nodes.recordings.map_file import write_map_file
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.cdr import write_tracked_objects
from perception_nodes.ros.messages import ODOMETRY, serialize
from perception_tools.forecasting.model import Training, build_forecaster, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.training.recipes import BlockRecipe

PATIENCE_S = 120.0


def write_robot(robot: Path) -> None:
    """Writes what robot.yaml names: a run, a map of one road, and a drive of 60 s along it."""
    recipe = ForecastRecipe(dim=32, heads=2, global_layers=1, block=BlockRecipe(source="random:64x96x4"))
    training = Training("untrained", "argoverse2", 0, 50, 60, 0)
    save_model(robot / "run" / MODEL_FILE, build_forecaster(recipe, future_steps=60), recipe, training)
    along = np.linspace(0.0, 90.0, 10)
    road = MapPolylines(
        ids=np.arange(1),
        points=np.stack([along, np.zeros(10)], axis=1)[None],
        kinds=np.zeros(1, np.int64),
        turns=np.zeros(1, np.int64),
        is_intersection=np.zeros(1, bool),
        has_traffic_control=np.zeros(1, bool),
    )
    plan = ForecastPlan(checkpoint=robot / "run")
    write_map_file(robot / "map.mcap", MapIndex(road), "road", topic=plan.map)
    objects, ego = (next(topic for topic in plan.inputs if topic.name == name) for name in (plan.objects, plan.ego))
    with Recorder(robot / "drive.mcap", lossless=True) as recorder:
        for step in range(600):
            tick = Tick(
                stamp_ns=10**18 + step * 10**8,
                city_SE2_ego=SE2(0.1 * step, 0.0, 0.0),
                ids=("car",),
                kinds=np.zeros(1, np.int64),
                position=np.array([[0.1 * step + 20.0, 0.0]]),
                heading=np.zeros(1),
                size=np.array([[4.5, 1.9, 1.5]]),
            )
            recorder.record(ego, tick.stamp_ns, serialize(odometry_of(tick), ODOMETRY))
            cdr = write_tracked_objects(tracked_objects_of(tick, np.array([[1.0, 0.0]])))
            recorder.record(objects, tick.stamp_ns, cdr)


def confined(user: str) -> list[str]:
    """Returns the words before a command that confine it as the compose file says; none without the rights."""
    uid, gid = user.split(":")
    script = (
        "mount -o remount,bind,ro / && mount -t tmpfs -o mode=1777 tmpfs /var/tmp && "
        f'exec setpriv --reuid={uid} --regid={gid} --clear-groups --bounding-set=-all --no-new-privs -- "$@"'
    )
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    if os.getuid() != 0 or subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        print("no right to confine processes: they run as this user, and may write")
        return []
    return words


def main(compose: Path, programs: Path, robot: Path) -> None:
    """Starts the services in the order of their dependencies, waits for their health, and stops them."""
    shutil.copytree(compose.parent / "robot", robot)
    write_robot(robot)
    services = yaml.safe_load(compose.read_text())["services"]
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": "/var/tmp"}
    started: dict[str, subprocess.Popen] = {}
    try:
        for name, service in sorted(services.items(), key=lambda item: "depends_on" in item[1]):
            command = [word.replace("/robot/", f"{robot}/") for word in service["command"]]
            words = [*confined(service["user"]), str(programs / "perception"), *command]
            started[name] = subprocess.Popen(words, env=environment, cwd=robot)
            if "depends_on" not in service:
                wait_for(name, service, programs, environment, started)
        for name, service in services.items():
            wait_for(name, service, programs, environment, started)
        confinement = Path(f"/proc/{started['forecast'].pid}/status").read_text()
        for line in ("Uid", "NoNewPrivs", "CapBnd"):
            print("forecast:", next(text for text in confinement.splitlines() if text.startswith(line)))
    finally:
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        ended = {name: process.wait(30) for name, process in started.items()}
    print(f"ended with {ended}")
    assert set(ended.values()) == {0}


def wait_for(name: str, service: dict, programs: Path, environment: dict, started: dict) -> None:
    """Runs a service's health check until it passes."""
    check = service["healthcheck"]
    if check.get("disable"):
        assert started[name].poll() is None, f"{name} has ended"
        return
    end = time.monotonic() + PATIENCE_S
    while True:
        words = [str(programs / check["test"][1]), *check["test"][2:]]
        found = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            print(f"{name}: healthy {found.stdout.strip()}", flush=True)
            return
        assert started[name].poll() is None, f"{name} has ended with {started[name].returncode}"
        assert time.monotonic() < end, f"{name}: {found.stdout}{found.stderr}"
        time.sleep(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
