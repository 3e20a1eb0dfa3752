"""What is exported of a forecaster, and the scenes that tell whether it is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession

from perception_tools.export.graph import trace
from perception_tools.export.onnx_file import write_onnx
from perception_tools.export.parity import compare_outputs, complaints
from perception_tools.forecasting.export import exportable
from perception_tools.forecasting.model import TrainedForecaster, Training, build_forecaster, load_model
from perception_tools.forecasting.recipes import RECIPES
from perception_tools.training.recipes import BlockRecipe


def test_the_scenes_have_the_borders_of_what_can_come(trained_run: Path) -> None:
    found = exportable(load_model(trained_run))
    cases = found.cases()
    first, *_ = cases.values()
    assert min(size for size in first.rows.shape if size) > 1
    valid = found.valid(first)
    assert valid.sum() < valid.size, "rows that only pad"
    assert len(cases["no lanes"].lane_vectors) == 0
    assert cases["one agent"].agent_kinds.shape == (1,)
    assert max(batch.rows.shape[1] for batch in cases.values()) == 100
    for batch in cases.values():
        answer = found.source.answer(batch)
        assert set(answer) == {"trajectories", "logits"}
        assert np.isfinite(answer["trajectories"].detach().numpy()[found.valid(batch)]).all()


def test_the_metadata_says_what_a_user_needs(trained_run: Path) -> None:
    trained = load_model(trained_run)
    metadata = exportable(trained).metadata
    assert metadata["history_steps"] == trained.training.history_steps
    assert metadata["future_steps"] == trained.model.horizon_steps
    assert metadata["recipe"] == trained.recipe.to_json()
    assert "metres" in metadata["outputs"]["trajectories"]


class Graph:
    """A graph that is not written to a file."""

    def __init__(self, content: bytes) -> None:
        self._session = InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(self, arrays):
        names = [value.name for value in self._session.get_outputs()]
        given = {value.name: arrays[value.name] for value in self._session.get_inputs()}
        return dict(zip(names, self._session.run(names, given), strict=True))


@pytest.mark.parametrize("encoder", ["mmtransformer", "mmtransformer-36", "query-centric-micro"])
def test_other_encoders_answer_in_a_graph_as_in_pytorch_and_in_a_node_without_it(
    encoder: str, tmp_path: Path, forecast_without_torch: Callable[[Path], dict]
) -> None:
    name, block = f"forecast/{encoder}-llama", BlockRecipe(source="random:32x48x4?seed=0")
    recipe = replace(RECIPES[name], block=block, dim=16, heads=2)
    if encoder == "mmtransformer-36":  # of layers above each other there is a case already
        recipe = replace(recipe, proposals=replace(recipe.proposals, layers=1))
    training = Training(name, "made", scenarios=1, history_steps=20, future_steps=30, steps=0)
    found = exportable(TrainedForecaster(build_forecaster(recipe, 30).eval(), recipe, training))
    cases = found.cases()
    proto = trace(found.source, next(iter(cases.values())))
    graph = Graph(proto.SerializeToString())
    assert complaints(compare_outputs(found, cases, graph), "float32") == []  # pyright: ignore[reportArgumentType]
    (path,) = write_onnx(proto, tmp_path / "model.onnx", {"task": "forecast", "name": name, **found.metadata})
    told = forecast_without_torch(path)
    assert (told["by_model"] > 0, told["imported"]) == (True, [])
