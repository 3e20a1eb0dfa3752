from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import perception_nodes.operations.deployment
from perception.frozen.precision import Precision
from perception_nodes.operations.configuration import ConfigurationError
from perception_nodes.operations.deployment import ForecastPlan, read_deployment


def test_the_example_of_the_documentation_is_a_deployment(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    example = re.search(r"\n\n(    router:.*?)\n\n", str(perception_nodes.operations.deployment.__doc__), re.DOTALL)
    assert example is not None
    path.write_text(textwrap.dedent(example[1]))
    plan = read_deployment(path)
    assert plan.router.listen == "tcp/127.0.0.1:7447"
    assert plan.service is not None
    assert (plan.service.folder, plan.service.workers) == (tmp_path / "folded/int8", 2)
    assert plan.nodes["forecast"].checkpoint == tmp_path / "runs/llama"
    assert plan.nodes["forecast"].metrics == 9464


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
        ("nodes:\n  a:\n    checkpoint: c\n    treads: 2", ":4: nodes.a has no key 'treads'; did you mean threads?"),
    ],
)
def test_a_deployment_that_cannot_run_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_deployment(path)
    assert complaint in str(error.value)


def test_the_precisions_of_a_node_are_the_blocks() -> None:
    assert get_args(get_type_hints(ForecastPlan)["precision"]) == get_args(Precision)
