from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.operations.configuration import ConfigurationError
from perception_nodes.operations.deployment import Deployment, read_deployment
from perception_nodes.scene_qa.plan import SceneQaPlan
from perception_nodes.security.authority import make_certificates

EXAMPLES = Path(__file__).parents[3] / "nodes" / "examples"


def test_the_example_of_a_robot_is_a_deployment(caplog: pytest.LogCaptureFixture) -> None:
    plan = read_deployment(EXAMPLES / "robot.yaml")
    assert plan.router.listen == "tcp/127.0.0.1:7447"
    assert plan.service is not None
    assert (plan.service.folder, plan.service.workers) == (EXAMPLES / "folded/int8", 2)
    ego, answerer = plan.nodes["ego"], plan.nodes["answerer"]
    assert ego == ForecastPlan(EXAMPLES / "runs/llama", "forecast-vectornet-llama", metrics=9464)
    assert answerer == SceneQaPlan(EXAMPLES / "runs/rooms", "scene-qa-rooms-llama")
    assert (plan.nodes_of("forecast"), plan.nodes_of("scene-qa")) == ({"ego": ego}, {"answerer": answerer})
    assert plan.own_names == ["router", "block0", "block1", "ego", "answerer", "foxglove"]
    assert caplog.records == []


def test_the_example_with_security_names_all_processes_and_reaches_the_router_on_loopback(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text((EXAMPLES / "secure.yaml").read_text())
    plan = read_deployment(path)
    assert plan.names == ["router", "ego", "tracker", "planner"]
    assert plan.own_names == ["router", "ego"]
    assert plan.router.place == "tls/127.0.0.1:7447"
    assert plan.security is not None
    assert plan.security.certificates == tmp_path / "certificates"
    with pytest.raises(InputError, match=r"certificates/ca\.pem: cannot be read"):
        plan.identity_of("router")
    make_certificates(plan.security.certificates, plan.names, server="router")
    identity = plan.identity_of("ego")
    assert identity is not None
    assert identity.name == "ego"


def test_without_security_no_process_has_a_certificate() -> None:
    assert Deployment().identity_of("router") is None


def test_a_file_of_the_former_version_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text("scene_qa: {hal: {checkpoint: b}}\nnodes: {ego: {checkpoint: a}}")
    with caplog.at_level(logging.WARNING):
        plan = read_deployment(path)
    assert plan.nodes == {"ego": ForecastPlan(tmp_path / "a"), "hal": SceneQaPlan(tmp_path / "b")}
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: nodes say their kind now; under nodes: write ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("service: {folder: f, workers: 0}", ":1: service: expected workers above 0, got 0"),
        (
            "service: {folder: f, precision: int8}",
            ":1: service: precision and provider are of another backend than torch",
        ),
        ("nodes:\n  a-b: {kind: forecast, checkpoint: c}", ":1: node 'a-b': expected a ROS name"),
        ("nodes:\n  a: {kind: forecast, checkpoint: c, block: f}", "asks for the block f, but there is no service"),
        (
            "service: {folder: f, pipelines: [x]}\nnodes:\n  a: {kind: forecast, checkpoint: c, block: f}",
            "the service has x; name one",
        ),
        (
            "service: {folder: f}\nnodes:\n  a:\n    {kind: scene-qa, checkpoint: c, block: f, precision: int8}",
            ":4: node: expected either a block or a precision, got block f and precision int8",
        ),
        (
            "nodes:\n  a:\n    kind: forecast\n    checkpoint: c\n    precision: int4",
            ":5: precision: expected one of float32, bfloat16, int8, int8_dynamic; found 'int4'",
        ),
        (
            "nodes:\n  a:\n    kind: forecast\n    checkpoint: c\n    objects_type: Detection3DArray",
            ":5: objects_type: expected one of autoware_perception_msgs/msg/TrackedObjects, vision_msgs/msg/Det",
        ),
        ("nodes: {a: {kind: scene-qa, checkpoint: c, block: f}}", "asks for the block f, but there is no service"),
        ("nodes:\n  a: {kind: scene-qa, checkpoint: c, voxel_m: 0}", ":2: node: expected voxel_m above 0, got 0.0"),
        ("router: {listen: 'tcp/0.0.0.0:7447'}", ":1: tcp/0.0.0.0:7447: expected a place on loopback"),
        ("security: {certificates: c}", "expected listen: tls/HOST:PORT, since there is security, got tcp/127"),
        (
            "router: {listen: 'tls/[::]:1'}\nsecurity:\n  certificates: c\n  others: {a: {publishes: ['/a/**']}}",
            ":4: topic name '/a/**': expected an absolute ROS name",
        ),
        (
            "router: {listen: 'tls/[::]:1'}\nsecurity: {certificates: c, others: {a b: {}}}",
            "'a b': expected a name of letters, digits, dots, hyphens, underscores",
        ),
        (
            "router: {listen: 'tls/[::]:1'}\nnodes: {block0: {kind: forecast, checkpoint: c}}\nservice: {folder: f}\n"
            "security: {certificates: c}",
            "block0: two processes have this name",
        ),
        (
            "router: {listen: 'tls/[::]:1'}\nsecurity: {certificates: c, others: {ca: {}}}",
            "ca: expected another name, since ca.pem is the authority's; rename it",
        ),
        (
            "nodes:\n  a:\n    checkpoint: c\n    kind: forcast",
            ":4: nodes.a.kind: expected one of forecast, scene-qa, image, points, video; found",
        ),
        ("nodes: {a: {kind: forecast, checkpoint: c, scan: s}}", "nodes.a has no key 'scan'"),
        (
            "nodes: {a: {kind: forecast, checkpoint: c, ego: pose}}",
            ":1: topic name 'pose': expected an absolute ROS name",
        ),
        ("nodes: {a: {kind: scene-qa, checkpoint: c, service: '/a/*'}}", "topic name '/a/*': expected an absolute ROS"),
        (
            "nodes:\n  a:\n    kind: forecast\n    checkpoint: c\n    treads: 2",
            ":5: nodes.a has no key 'treads'; did you mean threads?",
        ),
    ],
)
def test_a_deployment_that_cannot_run_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_deployment(path)
    assert complaint in str(error.value)


def test_an_open_router_must_be_wanted(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text("router: {listen: 'tcp/0.0.0.0:7447', allow_unencrypted: true}")
    assert read_deployment(path).router.place == "tcp/127.0.0.1:7447"


def test_all_that_contradicts_itself_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(
        "router: {listen: 'tcp/0.0.0.0:1'}\n"
        "nodes: {a-b: {kind: forecast, checkpoint: c}, c: {kind: scene-qa, checkpoint: c, block: f}}\n"
    )
    with pytest.raises(ConfigurationError) as error:
        read_deployment(path)
    lines = str(error.value).splitlines()
    for line, complaint in zip(lines, ("node 'a-b': expected", "node c: asks for", "tcp/0.0.0.0:1: ex"), strict=True):
        assert line.startswith(f"{path}:1: {complaint}")


@pytest.mark.parametrize(
    ("nodes", "wrong"),
    [
        (
            "b: {kind: forecast, checkpoint: c, standby_of: x}",
            "b: expected standby_of to name another forecast node, got x",
        ),
        ("b: {kind: forecast, checkpoint: c, standby_of: b}", "got b; there is a, q"),
        ("b: {kind: forecast, checkpoint: c, standby_of: q}", "expected standby_of to name no standby, q is one"),
        ("b: {kind: forecast, checkpoint: c, standby_of: a, domain: 2}", "expected the domain and outputs of a"),
        ("b: {kind: forecast, checkpoint: c, standby_of: a, status: /s}", "expected the domain and outputs of a"),
        (
            "b: {kind: forecast, checkpoint: c, standby_of: a, silence_s: 0.1}",
            "expected silence_s of at least 0.3, got 0.1",
        ),
    ],
)
def test_a_standby_is_of_a_node_with_the_same_outputs(nodes: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    pair = "a: {kind: forecast, checkpoint: c}\n  q: {kind: forecast, checkpoint: c, standby_of: a}"
    file.write_text(f"nodes:\n  {pair}\n  {nodes}\n")
    with pytest.raises(InputError, match=re.escape(wrong)):
        read_deployment(file)
