"""The fastest precision within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from perception.errors import InputError
from perception_nodes.exported.model_file import open_exported
from perception_tools.export import precision_search
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.export.precision_search import (
    CANDIDATES,
    Budget,
    PrecisionTable,
    PrecisionTrial,
    search_precision,
)
from perception_tools.main import main

WEIGHT = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "trained", "allowed", "refused"),
    [
        ("minFDE=+1%", 2.0, 2.02, 2.03),
        ("min_fde=+0.5", 2.0, 2.5, 2.6),
        ("min_fde=-1%", 2.0, 1.98, 1.97),
        ("min_fde=-0.25", 2.0, 1.75, 1.7),
        ("MIN_FDE=+0%", 2.0, 2.0, 2.0001),
        ("min_fde=-0", 2.0, 2.0, 1.9999),
    ],
)
def test_a_budget_bounds_a_number_from_the_side_of_its_sign(
    text: str, trained: float, allowed: float, refused: float
) -> None:
    budget = Budget.of(text)
    assert budget.allows({"min_fde": trained}, {"min_fde": allowed})
    assert not budget.allows({"min_fde": trained}, {"min_fde": refused})


@pytest.mark.parametrize(
    "text", ["", "minFDE", "minFDE=1%", "=+1%", "minFDE=+%", "minFDE=+1%%", "min FDE=+1", "m=+1e3"]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"expected METRIC=\+NUMBER%"):
        Budget.of(text)


def test_a_number_that_the_task_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match=r"--budget top1: expected one of min_fde, miss_rate; name one of them"):
        Budget.of("top1=-1%").name_in({"min_fde": 1.0, "miss_rate": 0.5})


trials = st.lists(st.tuples(st.floats(0.1, 100), st.booleans()), min_size=4, max_size=4)


@given(first=st.floats(0.1, 100), others=trials)
def test_the_chosen_precision_is_allowed_and_none_that_is_allowed_is_faster(
    first: float, others: list[tuple[float, bool]]
) -> None:
    given_ = [(first, True), *others]
    found = tuple(
        PrecisionTrial(name, ms, 0.0, 1.0, {"min_fde": 1.0}, allowed)
        for name, (ms, allowed) in zip(CANDIDATES, given_, strict=True)
    )
    table = PrecisionTable("min_fde=+1%", {"min_fde": 1.0}, found, "a batch")
    chosen = next(trial for trial in found if trial.precision == table.chosen)
    assert chosen.allowed
    assert chosen.p50_ms == min(trial.p50_ms for trial in found if trial.allowed)
    marks = [line.rsplit("   ", 1)[-1] for line in table.lines()[2:]]
    assert marks.count("chosen") == 1
    assert all((mark == "beyond the budget") != trial.allowed for mark, trial in zip(marks, found, strict=True))


class Answers:
    """What stands in for a task's model: the number of a model is its answer's error, times a thousand."""

    def __init__(self, runtime: Any) -> None:
        self.answer = runtime.run({"x": np.eye(64, dtype=np.float32)})["y"]


def measure(model: Any) -> dict[str, float]:
    return {"error": 1.0 if model is None else 1.0 + float(np.abs(model.answer - WEIGHT).max() / np.abs(WEIGHT).max())}


@pytest.fixture
def product() -> tuple[onnx.ModelProto, Exportable]:
    """A product with the weight of a tail, and how it is exported."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "tail.o"], ["y"], name="product")],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 64])],
        [numpy_helper.from_array(WEIGHT, "tail.o")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    linear = torch.nn.Linear(64, 64, bias=False)
    linear.weight.data = torch.from_numpy(WEIGHT.T.copy())
    source = GraphSource(linear, lambda model, x: model(x), "x", ("rows", "64"), "y")
    batch = torch.eye(64)
    return proto, Exportable(source, lambda: {"rows": batch}, ("rows",), {"name": "tiny"}, Answers)


@pytest.mark.parametrize(("budget", "refused"), [("error=+0.1%", {"int8", "int4"}), ("error=+50%", set())])
def test_every_precision_is_tried_and_those_beyond_the_budget_are_not_taken(
    budget: str, refused: set[str], product: tuple[onnx.ModelProto, Exportable], tmp_path: Path
) -> None:
    proto, exportable = product
    before = proto.SerializeToString()
    table = search_precision(proto, ("tail.o",), exportable, budget, measure, None, tmp_path)
    assert proto.SerializeToString() == before, "the graph stays as it is"
    assert [trial.precision for trial in table.trials] == [*CANDIDATES]
    beyond = {trial.precision for trial in table.trials if not trial.allowed}
    assert refused <= beyond
    assert "float32" not in beyond
    assert table.chosen not in beyond
    errors = {trial.precision: trial.error for trial in table.trials}
    assert errors["float32"] < 1e-6 < errors["fp16"] < errors["int8"] < errors["int4"]
    assert all(trial.p50_ms > 0 for trial in table.trials)
    assert table.as_json()["chosen"] == table.chosen


def test_a_model_without_a_block_has_float32_alone(product: tuple[onnx.ModelProto, Exportable], tmp_path: Path) -> None:
    proto, exportable = product
    table = search_precision(proto, (), exportable, "error=+1%", measure, None, tmp_path)
    assert [(trial.precision, trial.allowed) for trial in table.trials] == [("float32", True)]


@pytest.mark.usefixtures("traced_before")
def test_the_command_writes_the_fastest_and_keeps_the_table(
    trained_run: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    speeds = dict(zip(CANDIDATES, (5.0, 4.0, 3.0, 2.0, 1.0), strict=True))
    monkeypatch.setattr(precision_search, "_times", lambda runtimes, *_: {name: speeds[name] for name in runtimes})
    words = ["--precision", "auto", "--budget", "minFDE=+1%", "--data", str(data), "--limit", "2"]
    assert main(["export", str(trained_run), str(tmp_path / "m.onnx"), *words]) == 0
    printed, metadata = capsys.readouterr().out, open_exported(tmp_path / "m.onnx").metadata
    table = metadata["precisions"]
    assert metadata["precision"] == table["chosen"]
    assert [trial["precision"] for trial in table["trials"]] == [*CANDIDATES]
    allowed = [trial["precision"] for trial in table["trials"] if trial["allowed"]]
    assert table["chosen"] == max(allowed, key=CANDIDATES.index)
    assert "precision within minFDE=+1%" in printed
    assert "int4" in printed


@pytest.mark.parametrize(
    "words", [["--precision", "auto"], ["--budget", "minFDE=+1%"], ["--precision", "auto", "--budget", "minFDE=+1%"]]
)
def test_a_search_needs_a_budget_and_data(
    words: list[str], trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(trained_run), str(tmp_path / "m.onnx"), *words]) == 2
    assert "expected --precision auto with --budget and --data" in capsys.readouterr().err
