from __future__ import annotations

import re
from pathlib import Path

import pytest

from perception_nodes.operations.deployment import read_deployment
from perception_tools.main import main


def test_every_process_of_a_deployment_gets_a_certificate_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(
        "router: {listen: tls/0.0.0.0:7447}\nnodes: {ego: {kind: forecast, checkpoint: run}}\n"
        "security: {certificates: tls}\n"
    )
    assert main(["certificates", str(file), "--host", "robot.lan"]) == 0
    assert re.findall(r"tls/(\w+)\.pem: made", capsys.readouterr().err) == ["ca", "router", "ego"]
    plan = read_deployment(file)
    for name in plan.names:
        identity = plan.identity_of(name)
        assert identity is not None
        assert identity.name == name
    assert main(["certificates", str(file)]) == 0
    assert "all certificates are there and good" in capsys.readouterr().err


def test_a_deployment_without_security_needs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("nodes: {ego: {kind: forecast, checkpoint: run}}")
    assert main(["certificates", str(file)]) == 2
    assert "expected the key security, found none" in capsys.readouterr().err
