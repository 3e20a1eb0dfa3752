"""The container files: linted, with commands and ports that are there, and with as few rights as they say.

`.ci/check-containers` (`make containers`) also runs the install step and all processes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from perception_nodes.operations.deployment import read_deployment
from perception_nodes.security.listening import host_and_port
from perception_tools.main import all_commands

CHECKOUT = Path(__file__).resolve().parent.parent
CONTAINERS = CHECKOUT / "nodes" / "containers"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text())["services"]
CONTAINERFILE = (CONTAINERS / "Containerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    if shutil.which("hadolint", path=str(CHECKOUT / ".venv" / "bin")) is None:
        pytest.skip("hadolint is not installed; make install")
    program = CHECKOUT / ".venv" / "bin" / "hadolint"
    finished = subprocess.run(
        [program, CONTAINERS / "Containerfile"], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 0, finished.stdout


def test_the_image_copies_what_is_there_and_ends_as_a_user_without_rights() -> None:
    lines = re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE)
    copied = {source for line in lines for source in line.split()[:-1]}
    assert [source for source in copied if not (CHECKOUT / source).exists()] == []
    kept = (CONTAINERS / "Containerfile.dockerignore").read_text().splitlines()
    assert copied == {line.removeprefix("!") for line in kept if line.startswith("!")}
    assert re.findall(r"^USER (.*)$", CONTAINERFILE, re.MULTILINE) == ["65532:65532"]


def test_all_that_pip_installs_has_hashes() -> None:
    install = (CONTAINERS / "install").read_text()
    calls = re.findall(r"^ *install (.*)$", install, re.MULTILINE)
    hashed = [call for call in calls if "--require-hashes" in call]
    (torch,) = [call for call in calls if "torch" in call]
    (own,) = [call for call in calls if ".whl" in call]
    assert sorted(calls) == sorted([*hashed, torch, own])
    assert "TORCH:---require-hashes" in install
    assert "--require-hashes --requirement .ci/requirements/torch.txt" in CONTAINERFILE
    lock = (CHECKOUT / ".ci" / "requirements" / "lock.txt").read_text()
    named = [name for line in re.findall(r"^locked ([a-z -]+) >", install, re.MULTILINE) for name in line.split()]
    for name in [*named, "foxglove-sdk"]:
        assert re.search(rf"^{name}==", lock, re.MULTILINE), name


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "65532:65532"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert {"mem_limit", "pids_limit", "restart", "init"} <= service.keys()
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_its_command_exists_and_reads_the_deployment(name: str) -> None:
    command = SERVICES[name]["command"]
    assert any(" ".join(command[:count]) in all_commands() for count in (1, 2))
    assert "/robot/robot.yaml" in command


def ports() -> Iterator[tuple[str, int]]:
    """The port that each process listens at, by the deployment."""
    plan = read_deployment(CONTAINERS / "robot" / "robot.yaml")
    yield "router", int(host_and_port(plan.router.listen)[1])
    for name, node in plan.nodes.items():
        assert node.metrics is not None
        yield name, node.metrics
    assert plan.foxglove is not None
    assert plan.foxglove.metrics is not None
    yield "foxglove", plan.foxglove.metrics


def test_every_process_is_asked_for_its_health_at_its_own_port() -> None:
    asked = {name: s["healthcheck"]["test"] for name, s in SERVICES.items() if not s["healthcheck"].get("disable")}
    for name, port in ports():
        path = [] if name == "router" else ["/readyz"]
        assert asked.pop(name) == ["CMD", "healthy", str(port), *path]
    assert asked == {}


def test_all_wait_for_a_healthy_router() -> None:
    waiting = {name: service.get("depends_on") for name, service in SERVICES.items() if name != "router"}
    assert set(map(str, waiting.values())) == {str({"router": {"condition": "service_healthy"}})}


@pytest.fixture
def healthy() -> Iterator[tuple[str, list[str]]]:
    """A process that is asked, and what it answers to /readyz: empty while it is ready."""
    from prometheus_client import CollectorRegistry

    from perception_nodes.operations.endpoints import OperationsServer

    answers: list[str] = [""]
    with OperationsServer(0, live=lambda: "", ready=lambda: answers[0], registry=CollectorRegistry()) as server:
        yield str(server.port), answers


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    program = CONTAINERS / "healthy"
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)


def test_the_health_check_tells_ready_from_not_ready_and_from_nobody(healthy: tuple[str, list[str]]) -> None:
    port, answers = healthy
    assert asked(port).returncode == asked(port, "/readyz").returncode == 0
    answers[0] = "no objects yet"
    found = asked(port, "/readyz")
    assert (found.returncode, found.stdout) == (1, "no objects yet\n")
    nobody = asked("9", "/readyz")
    assert nobody.returncode == 1
    assert "nobody answers at port 9" in nobody.stderr
