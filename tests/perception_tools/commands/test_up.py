from __future__ import annotations

import configparser
import json
import queue
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.frozen.folded_file import save_folded
from perception_nodes.operations.deployment import read_deployment
from perception_tools.commands.up import commands, supervisor_configuration
from perception_tools.main import COMMANDS, main
from perception_tools.tasks import all_tasks

SYSTEMD = Path(__file__).parents[3] / "nodes" / "systemd"


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """A router on a free port and a tiny block."""
    torch.manual_seed(0)
    save_folded(fold(build_adapter(16, source="random:64x96x4").requires_grad_(False)), tmp_path / "folded", "forecast")
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"tcp/127.0.0.1:{free.getsockname()[1]}"
    path = tmp_path / "deployment.yaml"
    path.write_text(f"router: {{listen: {place}}}\nservice: {{folder: folded}}\n")
    return path


@contextmanager
def running(deployment: Path) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str]]]:
    """`perception up`, and the lines that it and its processes print."""
    command = [sys.executable, "-m", "perception_tools.main", "up", str(deployment)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    reading = threading.Thread(target=lambda stream: [lines.put(line) for line in stream], args=(process.stdout,))
    reading.start()
    try:
        yield process, lines
    finally:
        for pid in [*children(process.pid), process.pid]:
            subprocess.run(["kill", "-9", str(pid)], capture_output=True, check=False)
        process.wait()
        reading.join()
        process.stdout.close()


def children(pid: int) -> dict[int, str]:
    """Processes that another has started, and their commands."""
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {int(child): Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in pids}
    except OSError:
        return {}


def wait_for(lines: queue.Queue[str], key: str, seconds: float = 60) -> dict:
    """The next line of JSON with a key."""
    end, seen = time.monotonic() + seconds, []
    while time.monotonic() < end:
        try:
            seen.append(lines.get(timeout=1))
            found = json.loads(seen[-1])
        except (queue.Empty, json.JSONDecodeError):
            continue
        if key in found:
            return found
    raise AssertionError(f"no line with {key}: {seen}")


def test_what_dies_is_started_again_and_sigterm_ends_all_within_five_seconds(deployment: Path) -> None:
    with running(deployment) as (process, lines):
        wait_for(lines, "serving")
        first = {pid: command for pid, command in children(process.pid).items() if "serve block" in command}
        assert len(children(process.pid)) == 2
        time.sleep(5.5)  # by now it counts as started
        (victim,) = first
        subprocess.run(["kill", "-9", str(victim)], check=True)
        wait_for(lines, "serving")
        second = children(process.pid)
        assert victim not in second
        assert len(second) == 2
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
        assert [pid for pid in second if Path(f"/proc/{pid}").exists()] == []


def test_what_cannot_start_is_tried_less_and_less_often(deployment: Path) -> None:
    place = read_deployment(deployment).router.listen.removeprefix("tcp/127.0.0.1:")
    deployment.write_text(f"router: {{listen: tcp/127.0.0.1:{place}}}\n")
    with socket.create_server(("127.0.0.1", int(place))), running(deployment) as (_, lines):
        end, starts = time.monotonic() + 20, []
        while time.monotonic() < end:
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                continue
            if "choose another place" in line:
                starts.append(time.monotonic())
        pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert 2 <= len(starts) <= 6
    assert all(pause > 0.9 for pause in pauses)


def test_a_deployment_can_be_checked_without_running_it(deployment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", str(deployment), "--check"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ["router", "block0"]
    assert f"serve block {deployment.parent / 'folded'} --zenoh" in lines["block0"]
    deployment.write_text("servise: {folder: folded}")
    assert main(["up", str(deployment), "--check"]) == 2
    assert ":1: the file has no key 'servise'; did you mean service?" in capsys.readouterr().err


def test_the_supervisor_stops_by_force_before_the_five_seconds_are_over(tmp_path: Path) -> None:
    file = tmp_path / "100%.yaml"
    file.write_text(
        "service: {folder: 'a %(b)s', workers: 2, pipelines: [x, y]}\n"
        "nodes: {ego: {kind: forecast, checkpoint: run}, hal: {kind: scene-qa, checkpoint: run}}"
    )
    written = supervisor_configuration(read_deployment(file), file, tmp_path)
    parsed = configparser.RawConfigParser()
    parsed.read_string(written)
    programs = [section for section in parsed.sections() if section.startswith("program:")]
    assert programs == ["program:router", "program:block0", "program:block1", "program:node_ego", "program:node_hal"]
    assert parsed["group:perception"]["programs"] == "router,block0,block1,node_ego,node_hal"
    for program in programs:
        options = parsed[program]
        assert (options["autorestart"], options["stopwaitsecs"]) == ("true", "3")
        words = shlex.split(options["command"].replace("%%", "%"))[3:]
        assert any(" ".join(words).startswith(command) for command in COMMANDS)
    assert shlex.split(parsed["program:node_hal"]["command"].replace("%%", "%"))[3:5] == ["node", "scene-qa"]
    assert shlex.split(parsed["program:block1"]["command"])[-3:] == ["--name", "x", "y"]


def test_every_kind_of_node_has_its_process(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("nodes: {ego: {kind: forecast, checkpoint: run}, hal: {kind: scene-qa, checkpoint: run}}")
    started = commands(read_deployment(file), file)
    kinds = {words[4] for name, words in started.items() if name.startswith("node_")}
    assert kinds == {task.node_kind for task in all_tasks() if task.node_kind}


@pytest.mark.parametrize("unit", sorted(SYSTEMD.glob("*.service")), ids=lambda unit: unit.name)
def test_a_systemd_unit_is_sound_and_runs_a_command_of_ours(unit: Path, tmp_path: Path) -> None:
    parsed = configparser.RawConfigParser()
    parsed.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parsed.read_string(unit.read_text())
    assert parsed.sections() == ["Unit", "Service", "Install"]
    program, *words = shlex.split(parsed["Service"]["ExecStart"])
    assert program.endswith("/bin/perception")
    assert any(" ".join(words).startswith(command) for command in COMMANDS)
    assert parsed["Service"]["Restart"] == "on-failure"
    assert float(parsed["Service"]["RestartSec"]) >= 1  # never a hot loop
    if shutil.which("systemd-analyze"):
        here = tmp_path / unit.name
        here.write_text(unit.read_text().replace(program, "/bin/true"))
        checked = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_with_security_each_process_shows_its_own_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(
        "router: {listen: tls/0.0.0.0:7447}\nservice: {folder: folded, workers: 2}\nsecurity: {certificates: tls}\n"
    )
    assert main(["up", str(file), "--check"]) == 2
    assert "perception certificates DEPLOYMENT makes all that are missing" in capsys.readouterr().err
    assert main(["certificates", str(file)]) == 0
    assert main(["up", str(file), "--check"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["router"].endswith(f"serve router --config {file}")
    assert "--connect tls/127.0.0.1:7447" in lines["block1"]
    assert lines["block1"].endswith(f"--certificate {tmp_path}/tls/block1.pem --key {tmp_path}/tls/block1.key")
