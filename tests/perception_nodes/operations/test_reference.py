from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from perception_nodes.kinds import KINDS
from perception_nodes.operations.deployment import (
    Deployment,
    FoxglovePlan,
    OtherPlan,
    RouterPlan,
    SecurityPlan,
    ServicePlan,
    read_deployment,
)
from perception_nodes.operations.node_plan import plan_type
from perception_nodes.operations.reference import (
    SECURE_LISTEN,
    DescribedNode,
    commented_deployment,
    deployment_reference,
)

README = Path(__file__).parents[3] / "nodes" / "README.md"


def block_of_the_readme() -> str:
    (block,) = re.findall(r"```yaml\n(# Every key of a deployment.*?)```", README.read_text(), re.DOTALL)
    return block


def test_the_readme_has_the_reference() -> None:
    expected = deployment_reference()
    assert block_of_the_readme() == expected, "python -m perception_nodes.operations.reference prints the new block"


def test_the_reference_is_a_deployment_of_defaults(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text(block_of_the_readme())
    nodes = {kind.replace("-", "_"): plan_type(kind)(tmp_path / "runs/NAME") for kind in KINDS}
    expected = Deployment(RouterPlan(), ServicePlan(tmp_path / "folded/int8"), nodes, FoxglovePlan())
    assert read_deployment(path) == expected


def test_with_its_last_section_uncommented_it_has_security(tmp_path: Path) -> None:
    text, security = block_of_the_readme().split("or alike:\n")
    uncommented = re.sub(r"^# ", "", security, flags=re.MULTILINE)
    path = tmp_path / "deployment.yaml"
    path.write_text(text.replace(RouterPlan().listen, SECURE_LISTEN) + "\n" + uncommented)
    plan = read_deployment(path)
    assert plan.security == SecurityPlan(tmp_path / "certificates", {"tracker": OtherPlan()})
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(deployment_reference(secure=True))


@pytest.mark.parametrize("secure", [False, True])
def test_every_key_has_a_comment_before_it(secure: bool) -> None:
    lines = [line.removeprefix("# ") if "#   " in line else line for line in deployment_reference(secure).splitlines()]
    names = {kind.replace("-", "_") for kind in KINDS} | {"tracker", "security"}
    for before, line in pairwise(lines):
        key = re.match(r" *(\w+):", line)
        if key and key[1] not in names:
            assert before.lstrip().startswith("#"), line


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_names_each_topic_and_its_type(kind: str) -> None:
    plan = plan_type(kind)(Path("run"))
    text = README.read_text()
    for topic in (*plan.topics, *plan.services):
        assert f"| `{topic.name}` | `{topic.type}`" in text


def test_a_file_for_some_nodes_has_their_values_and_notes_and_its_other_sections_as_comments(tmp_path: Path) -> None:
    node = DescribedNode("ego", "forecast", {"checkpoint": "runs/a", "ego": "/odom"}, {"ego": "Is it the right one?"})
    text = commented_deployment([node], "Written for a robot.", "tcp/127.0.0.1:7000")
    (tmp_path / "a.yaml").write_text(text)
    plan = read_deployment(tmp_path / "a.yaml")
    ego = plan_type("forecast")(tmp_path / "runs/a", ego="/odom")  # pyright: ignore[reportCallIssue]
    assert plan == Deployment(RouterPlan("tcp/127.0.0.1:7000"), nodes={"ego": ego})
    assert "    # Topic of the odometry. Is it the right one?\n    ego: /odom\n" in text
    assert "# The workers of the shared block; null runs none. Default: null.\n# service:\n#   # Folder of" in text
    assert text.startswith("# Written for a robot.\n")
