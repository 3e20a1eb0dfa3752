"""Writes golden_graph.json beside this file: operators and hash of a tiny model's graph. Run it only when a change of
the graph is meant, or for a newer exporter.

    python tests/perception_tools/export/make_golden_graph.py
"""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

GOLDEN = Path(__file__).with_name("golden_graph.json")


def exporters() -> dict[str, str]:
    """What writes graphs: another version may write the same model in other operators."""
    return {name: version(name).split("+")[0] for name in ("torch", "onnxscript")}


def described(proto: ModelProto) -> dict:
    """What the golden says of a graph: the operators for people who read a difference, and the hash of everything."""
    from perception_tools.export.onnx_file import graph_hash

    operators = Counter(node.op_type for node in proto.graph.node)
    return {"operators": dict(sorted(operators.items())), "hash": graph_hash(proto)}


def tiny_graph() -> ModelProto:
    """The graph of an untrained forecaster with the recipe of the tests' tiny run."""
    from perception_tools.export.graph import trace
    from perception_tools.forecasting.export import exportable
    from perception_tools.forecasting.model import TrainedForecaster, Training, build_forecaster
    from perception_tools.forecasting.recipes import ForecastRecipe
    from perception_tools.training.recipes import BlockRecipe

    recipe = ForecastRecipe(block=BlockRecipe(source="random:32x48x4?seed=0"), dim=16, heads=2)
    training = Training("golden", "none", 0, history_steps=20, future_steps=30, steps=0)
    found = exportable(TrainedForecaster(build_forecaster(recipe, 30).eval(), recipe, training))
    return trace(found.source, next(iter(found.cases().values())))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({"exporters": exporters(), **described(tiny_graph())}, indent=1) + "\n")
