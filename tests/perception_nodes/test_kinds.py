from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from perception_nodes.kinds import KINDS
from perception_nodes.operations.node_plan import plan_type


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_folder_with_the_same_file_names(kind: str) -> None:
    module = import_module(plan_type(kind).__module__)
    package, _, file = module.__name__.rpartition(".")
    assert file == "plan"
    for name in ("node", "process", "messages"):
        import_module(f"{package}.{name}")
    assert module.__file__ is not None
    assert Path(module.__file__).parent.parent.name == "perception_nodes"


def test_the_first_kind_is_that_of_nodes_of_the_former_version() -> None:
    assert next(iter(KINDS)) == "forecast"
