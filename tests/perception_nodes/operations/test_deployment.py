from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import perception_nodes.operations.deployment
from perception.errors import InputError
from perception.kernels.precision import Precision
from perception_nodes.operations.authority import make_certificates
from perception_nodes.operations.configuration import ConfigurationError
from perception_nodes.operations.deployment import Deployment, ForecastPlan, read_deployment
from perception_nodes.ros.sensed_objects import READERS


def examples() -> list[str]:
    """Of the documentation."""
    found = re.findall(r"\n\n(    router:(?:\n?[^\n]+)*)", str(perception_nodes.operations.deployment.__doc__))
    return [textwrap.dedent(example) for example in found]


def test_the_example_with_security_names_everybody_and_reaches_the_router_on_loopback(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(examples()[1])
    plan = read_deployment(path)
    assert plan.names == ["router", "forecast", "tracker", "planner"]
    assert plan.own_names == ["router", "forecast"]
    assert plan.router.place == "tls/127.0.0.1:7447"
    assert plan.security is not None
    assert plan.security.certificates == tmp_path / "certificates"
    with pytest.raises(InputError, match=r"certificates/ca\.pem: cannot be read"):
        plan.identity_of("router")
    make_certificates(plan.security.certificates, plan.names, server="router")
    identity = plan.identity_of("forecast")
    assert identity is not None
    assert identity.name == "forecast"


def test_without_security_nobody_has_papers() -> None:
    assert Deployment().identity_of("router") is None


def test_the_example_of_the_documentation_is_a_deployment(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(examples()[0])
    plan = read_deployment(path)
    assert plan.router.listen == "tcp/127.0.0.1:7447"
    assert plan.service is not None
    assert (plan.service.folder, plan.service.workers) == (tmp_path / "folded/int8", 2)
    assert plan.nodes["forecast"].checkpoint == tmp_path / "runs/llama"
    assert plan.nodes["forecast"].metrics == 9464
    assert plan.scene_qa["answerer"].checkpoint == tmp_path / "runs/rooms"
    assert plan.own_names == ["router", "block0", "block1", "forecast", "answerer"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("service: {folder: f, workers: 0}", ":1: service: expected workers above 0, got 0"),
        ("nodes:\n  a-b: {checkpoint: c}", ":1: node 'a-b': expected a ROS name"),
        ("nodes:\n  a: {checkpoint: c, block: f}", "asks for the block f, but there is no service"),
        ("service: {folder: f, pipelines: [x]}\nnodes:\n  a: {checkpoint: c, block: f}", "the service has x; name one"),
        (
            "service: {folder: f}\nnodes:\n  a:\n    {checkpoint: c, block: f, precision: int8}",
            ":4: node: expected either a block or a precision, got block f and precision int8",
        ),
        (
            "nodes:\n  a:\n    checkpoint: c\n    precision: int4",
            ":4: precision: expected one of float32, bfloat16, int8, int8_dynamic; found 'int4'",
        ),
        (
            "nodes:\n  a:\n    checkpoint: c\n    objects_type: Detection3DArray",
            ":4: objects_type: expected one of autoware_perception_msgs/msg/TrackedObjects, vision_msgs/msg/Det",
        ),
        ("scene_qa:\n  a: {checkpoint: c, block: f}", "asks for the block f, but there is no service"),
        ("scene_qa:\n  a: {checkpoint: c, voxel_m: 0}", ":2: node: expected voxel_m above 0, got 0.0"),
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
            "router: {listen: 'tls/[::]:1'}\nnodes: {block0: {checkpoint: c}}\nservice: {folder: f}\n"
            "security: {certificates: c}",
            "block0: two processes have this name",
        ),
        ("nodes:\n  a:\n    checkpoint: c\n    treads: 2", ":4: nodes.a has no key 'treads'; did you mean threads?"),
    ],
)
def test_a_deployment_that_cannot_run_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_deployment(path)
    assert complaint in str(error.value)


def test_the_words_to_choose_from_are_those_that_are_understood() -> None:
    words = {name: get_args(hint) for name, hint in get_type_hints(ForecastPlan).items()}
    assert words["precision"] == get_args(Precision)
    assert words["objects_type"] == tuple(READERS)


def test_an_open_router_must_be_wanted(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text("router: {listen: 'tcp/0.0.0.0:7447', allow_unencrypted: true}")
    assert read_deployment(path).router.place == "tcp/127.0.0.1:7447"
