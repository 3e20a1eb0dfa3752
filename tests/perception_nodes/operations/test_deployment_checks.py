from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from perception_nodes.operations.deployment import Deployment, read_deployment
from perception_nodes.operations.deployment_checks import findings
from perception_nodes.security import authority
from perception_nodes.security.authority import make_certificates

SECURE = "router: {listen: 'tls/127.0.0.1:PORT'}\nsecurity: {certificates: tls}\n"


@pytest.fixture
def deployment(tmp_path: Path, free_port: Callable[[], int]) -> Callable[[str], Deployment]:
    """Reads a deployment from its text, in which PORT stands for a port that is free."""

    def read(text: str) -> Deployment:
        if "router:" not in text:
            text = "router: {listen: 'tcp/127.0.0.1:PORT'}\n" + text
        file = tmp_path / "deployment.yaml"
        file.write_text(text.replace("PORT", str(free_port())))
        return read_deployment(file)

    return read


def test_a_deployment_that_can_work_has_no_findings(deployment: Callable[[str], Deployment]) -> None:
    text = """
nodes:
  ego: {kind: forecast, checkpoint: a, metrics: 0}
  far: {kind: forecast, checkpoint: a, metrics: 0, forecasts: /far/objects, status: /far/status}
  abroad: {kind: forecast, checkpoint: a, domain: 1}
  hal: {kind: scene-qa, checkpoint: b}
foxglove: {port: 0, metrics: 0}
"""
    assert findings(deployment(text)) == []


def test_a_standby_may_publish_on_the_topics_of_its_primary_and_nobody_else(
    deployment: Callable[[str], Deployment],
) -> None:
    pair = "nodes:\n  a: {kind: forecast, checkpoint: c}\n  b: {kind: forecast, checkpoint: c, standby_of: a}\n"
    assert findings(deployment(pair)) == []
    found = findings(deployment(pair + "  d: {kind: forecast, checkpoint: c}\n"))
    assert len(found) == 2
    assert all("expected one process to publish it, found a, b, d" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "router: {listen: tcp/127.0.0.1:99999}",
            ["router: expected a port from 0 to 65535, got '99999'; choose"],
        ),
        (
            "router: {listen: tcp/127.0.0.1:http}",
            ["router: expected a port from 0 to 65535, got 'http'; choose"],
        ),
        (
            "router: {listen: 'tcp/[::1]:0'}",
            ["router: expected a port that the others can know, got 0; choose"],
        ),
        ("foxglove: {port: 65536}", ["foxglove: expected a port from 0 to 65535, got '65536'"]),
        ("foxglove: {metrics: -1}", ["foxglove: metrics: expected a port from 0 to 65535, got '-1'"]),
        (
            "router: {listen: tcp/127.0.0.1:7}\nfoxglove: {port: 7}\n"
            "nodes: {a: {kind: forecast, checkpoint: c, metrics: 7}}",
            ["port 7: expected one process there, found router, foxglove, node a: metrics; give each its own"],
        ),
        (
            "nodes: {a: {kind: forecast, checkpoint: c}, b: {kind: forecast, checkpoint: c}}",
            [
                "topic /perception/object_recognition/objects: expected one process to publish it, found",
                "topic /perception/object_recognition/prediction/status: expected one process to publish it, found",
            ],
        ),
        (
            "nodes: {a: {kind: scene-qa, checkpoint: c}, b: {kind: scene-qa, checkpoint: c, answers: /b, domain: 0}}",
            ["service /scene_qa/ask: expected one node to answer it, found a, b; give each one of its own"],
        ),
        (
            "nodes:\n  a: {kind: forecast, checkpoint: c, forecasts: /x}\n"
            "  b: {kind: scene-qa, checkpoint: c, questions: /x}",
            ["topic /x: b expects scene_qa_msgs/msg/SceneQuestion, but a publishes autoware_perception_msgs/msg/Pred"],
        ),
    ],
)
def test_everything_that_cannot_work_is_found(
    text: str, found: list[str], deployment: Callable[[str], Deployment]
) -> None:
    told = findings(deployment(text))
    assert len(told) == len(found), told
    for sentence, beginning in zip(told, found, strict=True):
        assert sentence.startswith(beginning)


def test_a_process_that_is_not_ours_may_not_publish_for_a_node(
    tmp_path: Path, deployment: Callable[[str], Deployment]
) -> None:
    text = SECURE.replace("certificates: tls", "certificates: tls, others: {fake: {publishes: [/o, /status, /free]}}")
    text += "nodes: {a: {kind: forecast, checkpoint: c, status: /status}}"
    plan = deployment(text)
    make_certificates(tmp_path / "tls", plan.names, server="router")
    assert findings(plan) == [
        "topic /status: expected one process to publish it, found a, fake; give each a topic of its own"
    ]


def test_a_port_that_another_program_has_is_found_unless_the_deployment_runs_itself(
    deployment: Callable[[str], Deployment], free_port: Callable[[], int]
) -> None:
    plan = deployment("foxglove: {port: PORT}".replace("PORT", str(free_port())))
    assert plan.foxglove is not None
    with socket.create_server(("127.0.0.1", plan.foxglove.port)):
        (found,) = findings(plan)
        assert f"port {plan.foxglove.port}: expected it to be free for foxglove, found that it is not (Address" in found
        assert findings(plan, runs=True) == []


def test_every_certificate_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deployment: Callable[[str], Deployment]
) -> None:
    plan = deployment(
        SECURE + "nodes: {a: {kind: forecast, checkpoint: c}, b: {kind: scene-qa, checkpoint: c}}\nfoxglove: {port: 0}",
    )
    tls = tmp_path / "tls"
    make_certificates(tls, plan.names, server="router")
    assert findings(plan) == []
    make_certificates(tmp_path / "other", ["router", "a"], server="router")
    for end in ("pem", "key"):
        shutil.copy(tmp_path / "other" / f"a.{end}", tls / f"a.{end}")
    (tls / "b.key").chmod(0o644)
    (tls / "foxglove.pem").unlink()
    monkeypatch.setattr(authority, "PROCESS_DAYS", -1)
    monkeypatch.setattr(authority, "_CLOCKS_DIFFER", authority.EXPIRES_SOON)
    (tls / "router.pem").unlink()
    make_certificates(tls, ["router"], server="router")
    router, a, b, foxglove = findings(plan)
    assert "router.pem: expected a certificate that is valid now" in router
    assert "a.pem: expected a certificate that" in a
    assert "b.key: expected a key that others cannot read" in b
    assert "foxglove.pem: cannot be read" in foxglove


def test_the_routers_certificate_must_be_for_where_it_is_reached(
    tmp_path: Path, deployment: Callable[[str], Deployment]
) -> None:
    plan = deployment(SECURE.replace("127.0.0.1", "robot.lan"))
    make_certificates(tmp_path / "tls", plan.names, server="router")
    found = findings(plan, runs=True)
    assert len(found) == 1
    assert "router.pem: expected a certificate for robot.lan, where the router is reached" in found[0]
    make_certificates(tmp_path / "tls", plan.names, server="router", hosts=["robot.lan"])
    assert findings(plan, runs=True) == []


def test_a_router_on_a_file_has_no_port(deployment: Callable[[str], Deployment]) -> None:
    assert findings(deployment("router: {listen: unixsock-stream//tmp/x.sock}")) == []
