"""Damaged deployments and certificates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.operations.access import access_control, grants_of
from perception_nodes.operations.deployment import read_deployment
from perception_nodes.operations.deployment_checks import findings
from perception_nodes.security.authority import make_certificates
from perception_nodes.security.identity import identity_in
from perception_tools.commands.up import commands
from perception_tools.supervision import configuration_of

DEPLOYMENT = """\
router: {listen: 'tls/127.0.0.1:7447', allow_unencrypted: false}
service: {folder: folded, pipelines: [forecast], workers: 2, threads: 1}
nodes:
  ego: {kind: forecast, checkpoint: runs/a, block: forecast, metrics: 9464, timeout_ms: 80.0, domain: 3}
  hal: {kind: scene-qa, checkpoint: runs/b, precision: int8, scan: room.ply, max_age_s: .inf, voxel_m: 2e-2}
foxglove: {port: 8765, metrics: null}
security:
  certificates: tls
  others:
    tracker: {publishes: [/tracks], subscribes: [/forecasts], asks: [/ask], domain: 3}
"""
FORMER = "nodes: {ego: {checkpoint: a}}\nscene_qa: {hal: {checkpoint: b}}\n"


def _read_deployments(folder: Path) -> None:
    for file in sorted(folder.glob("*.yaml")):
        plan = read_deployment(file)
        access_control(grants_of(plan))
        findings(plan, runs=True)
        if plan.security is None:
            configuration_of(commands(plan, file), folder)


def _read_certificates(folder: Path) -> None:
    for key in folder.glob("*.key"):
        key.chmod(0o600)
    identity_in(folder, "ego").zenoh_settings(accepts=False)
    identity_in(folder, "router").expect_server_of("localhost")


def _make_certificates(folder: Path) -> None:
    for key in folder.glob("*.key"):
        key.chmod(0o600)
    make_certificates(folder, ["router", "ego"], server="router", hosts=["localhost"])


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    make_certificates(tmp_path / "tls", ["router", "ego"], server="router")
    for path in (tmp_path / "tls").glob(".*"):
        path.unlink()
    return tmp_path / "tls"


def test_a_damaged_deployment_is_read_or_refused(fuzz: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / "deployments"
    folder.mkdir()
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    (folder / "former.yaml").write_text(FORMER)
    fuzz(_read_deployments, folder)


def test_a_damaged_certificate_is_read_or_refused(fuzz: Callable[..., None], certificates: Path) -> None:
    fuzz(_read_certificates, certificates)


def test_damaged_certificates_are_renewed_or_refused(fuzz: Callable[..., None], certificates: Path) -> None:
    fuzz(_make_certificates, certificates)


def test_what_once_failed_is_refused_with_a_sentence(corpus: Path) -> None:
    for file in sorted(corpus.glob("*.yaml")):
        with pytest.raises(InputError, match=file.name):
            read_deployment(file)
