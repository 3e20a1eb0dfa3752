from __future__ import annotations

import configparser
import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.frozen.folded_file import save_folded
from perception_nodes.operations.deployment import read_deployment
from perception_nodes.security.authority import make_certificates
from perception_tools.commands.up import commands
from perception_tools.main import COMMANDS, main
from perception_tools.supervision import MISTAKE, configuration_of
from perception_tools.tasks import all_tasks

SYSTEMD = Path(__file__).parents[3] / "nodes" / "systemd"


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for sockets and locks, of a short path and of this test alone."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture
def deployment(tmp_path: Path, place: str) -> Path:
    """A router on a free port and a tiny block."""
    torch.manual_seed(0)
    save_folded(fold(build_adapter(16, source="random:64x96x4").requires_grad_(False)), tmp_path / "folded", "forecast")
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


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


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
        assert process.wait(60) == 0
        assert time.monotonic() - began < 5
        assert [pid for pid in second if Path(f"/proc/{pid}").exists()] == []


def test_a_deployment_runs_once_at_a_time_until_its_supervisor_ends_however(
    deployment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("perception.files.LOCK_WAIT_S", 0.5)
    with running(deployment) as (process, lines):
        wait_for(lines, "serving")
        assert main(["up", str(deployment)]) == 2
        assert f"{deployment}: expected it to run only once; stop the other first" in capsys.readouterr().err
        assert main(["up", str(deployment), "--check"]) == 0
        assert "it runs now, so its ports were not looked at" in capsys.readouterr().err
        processes = children(process.pid)
        process.kill()
        process.wait()
        end = time.monotonic() + 60
        while any(map(is_running, processes)):
            assert time.monotonic() < end, "the processes outlive their supervisor"
            time.sleep(0.05)
    with running(deployment) as (process, lines):
        wait_for(lines, "serving")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("*/*"))  # nothing stays behind


def test_everything_that_would_fail_is_said_at_once_and_nothing_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("""
router: {listen: 'tls/127.0.0.1:99999'}
service: {folder: folded}
nodes:
  ego: {kind: forecast, checkpoint: lost, metrics: 9464}
  far: {kind: forecast, checkpoint: lost, metrics: 9464}
security: {certificates: tls}
""")
    make_certificates(tmp_path / "tls", ["router", "block0", "ego", "far"], server="router")
    make_certificates(tmp_path / "other", ["ego"], server="router")
    shutil.copy(tmp_path / "other" / "ego.pem", tmp_path / "tls" / "ego.pem")
    shutil.copy(tmp_path / "other" / "ego.key", tmp_path / "tls" / "ego.key")
    for words in (["--check"], []):
        assert main(["up", str(file), *words]) == 2
        said = capsys.readouterr().err
        for finding in (
            "router: expected a port from 0 to 65535, got '99999'",
            "port 9464: expected one process there, found node ego: metrics, node far: metrics",
            "topic /perception/object_recognition/objects: expected one process to publish it, found ego, far",
            "ego.pem: expected a certificate that",
            "service: ",
            "node ego: ",
            "node far: ",
        ):
            assert f"{file}: {finding}" in said or finding in said
        assert len(said.splitlines()) == 8
    assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("*/*"))


def test_a_file_with_several_mistakes_names_each_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("servise: {}\nnodes:\n  a: {kind: forecast, checkpoint: c, threads: 0}\n  b: {kind: forcast}\n")
    assert main(["up", str(file), "--check"]) == 2
    said = capsys.readouterr().err
    for line, mistake in ((1, "the file has no key"), (3, "node: expected threads above 0"), (4, "nodes.b.kind: ")):
        assert f"{file}:{line}: {mistake}" in said


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
    written = configuration_of(commands(read_deployment(file), file), tmp_path)
    parsed = configparser.RawConfigParser()
    parsed.read_string(written)
    programs = [section for section in parsed.sections() if section.startswith("program:")]
    assert programs == ["program:router", "program:block0", "program:block1", "program:node_ego", "program:node_hal"]
    assert parsed["group:perception"]["programs"] == "router,block0,block1,node_ego,node_hal"
    for program in programs:
        options = parsed[program]
        assert (options["autorestart"], options["stopwaitsecs"]) == ("unexpected", "3")
        words = shlex.split(options["command"].replace("%%", "%"))[3:]
        assert any(" ".join(words).startswith(command) for command in COMMANDS)
    assert shlex.split(parsed["program:node_hal"]["command"].replace("%%", "%"))[3:5] == ["node", "scene-qa"]
    assert shlex.split(parsed["program:block1"]["command"])[-3:] == ["--name", "x", "y"]


def test_every_kind_of_node_has_its_process(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    kinds = [task.node_kind for task in all_tasks() if task.node_kind]
    nodes = ", ".join(f"n{number}: {{kind: {kind}, checkpoint: run}}" for number, kind in enumerate(kinds))
    file.write_text(f"nodes: {{{nodes}}}")
    started = commands(read_deployment(file), file)
    assert [words[4] for name, words in started.items() if name.startswith("node_")] == kinds


@pytest.mark.parametrize("unit", sorted(SYSTEMD.glob("*.service")), ids=lambda unit: unit.name)
def test_a_systemd_unit_is_sound_and_runs_a_command_of_ours(unit: Path, tmp_path: Path) -> None:
    parsed = configparser.RawConfigParser(strict=False)  # SystemCallFilter= is there more than once
    parsed.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parsed.read_string(unit.read_text())
    assert parsed.sections() == ["Unit", "Service", "Install"]
    program, *words = shlex.split(parsed["Service"]["ExecStart"])
    assert program.endswith("/bin/perception")
    assert any(" ".join(words).startswith(command) for command in COMMANDS)
    assert parsed["Service"]["Restart"] == "on-failure"
    assert parsed["Service"]["RestartPreventExitStatus"] == str(MISTAKE)
    assert parsed["Service"]["Type"] == "notify"
    assert {"WatchdogSec", "MemoryMax"} <= parsed["Service"].keys()
    assert float(parsed["Service"]["RestartSec"]) >= 1  # never a hot loop
    if shutil.which("systemd-analyze"):
        here = tmp_path / unit.name
        here.write_text(unit.read_text().replace(program, "/bin/true"))
        checked = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        exposure = ["systemd-analyze", "security", "--offline=true", "--threshold=20", here]  # 2.0 of 10
        exposed = subprocess.run(exposure, capture_output=True, text=True, check=False)
        assert exposed.returncode == 0, exposed.stdout


def test_with_security_each_process_shows_its_own_certificate(
    deployment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secure.yaml"
    port = read_deployment(deployment).router.listen.removeprefix("tcp/127.0.0.1:")
    file.write_text(
        f"router: {{listen: tls/0.0.0.0:{port}}}\nservice: {{folder: folded, workers: 2}}\n"
        "security: {certificates: tls}\n"
    )
    assert main(["up", str(file), "--check"]) == 2
    assert "perception certificates DEPLOYMENT makes all that are missing" in capsys.readouterr().err
    assert main(["certificates", str(file)]) == 0
    assert main(["up", str(file), "--check"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["router"].endswith(f"serve router --config {file}")
    assert f"--connect tls/127.0.0.1:{port}" in lines["block1"]
    assert lines["block1"].endswith(f"--certificate {tmp_path}/tls/block1.pem --key {tmp_path}/tls/block1.key")
