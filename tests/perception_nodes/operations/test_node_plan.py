from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from perception.errors import InputError
from perception.kernels.precision import Precision
from perception_nodes.kinds import KINDS
from perception_nodes.operations.node_plan import NodePlan, expect_positive, plan_type

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_a_kinds_plan_has_the_keys_of_all_nodes_and_needs_no_more_of_them(kind: str) -> None:
    plan = plan_type(kind)
    assert issubclass(plan, NodePlan)
    assert plan.kind == kind
    shared = [field.name for field in fields(NodePlan)]
    assert [field.name for field in fields(plan)][: len(shared)] == shared
    required = [field.name for field in fields(plan) if field.default is field.default_factory is MISSING]
    assert required == ["checkpoint"]


@every_kind
def test_a_plan_names_its_topics_each_once(kind: str) -> None:
    plan = plan_type(kind)(Path("run"))
    assert plan.topics == tuple(dict.fromkeys((*plan.inputs, *plan.outputs)))  # a node hears its own status topic
    names = [topic.name for topic in (*plan.topics, *plan.services)]
    assert len(set(names)) == len(names)
    assert plan.inputs
    assert plan.outputs


@every_kind
@pytest.mark.parametrize("wrong", [{"timeout_ms": 0.0}, {"tolerance_ms": -1.0}, {"threads": 0}])
def test_numbers_must_be_positive(kind: str, wrong: dict) -> None:
    with pytest.raises(InputError, match=f"node: expected {next(iter(wrong))} above 0"):
        plan_type(kind)(Path("run"), **wrong)


@every_kind
def test_a_node_has_a_block_of_the_service_or_a_precision_of_its_own(kind: str) -> None:
    plan_type(kind)(Path("run"), block="f")
    plan_type(kind)(Path("run"), precision="int8")
    with pytest.raises(InputError, match="expected either a block or a precision, got block f and precision int8"):
        plan_type(kind)(Path("run"), block="f", precision="int8")


def test_the_precisions_are_those_of_the_kernels() -> None:
    assert get_args(get_type_hints(NodePlan)["precision"]) == get_args(Precision)


def test_not_a_number_is_not_positive() -> None:
    with pytest.raises(InputError, match="map: expected voxel_m above 0, got nan"):
        expect_positive("map", voxel_m=float("nan"))


@every_kind
def test_an_exported_file_is_for_another_backend_and_has_its_own_precision(kind: str) -> None:
    plan, file = plan_type(kind), Path("llama.onnx")
    assert plan(file, backend="openvino").checkpoint == file
    with pytest.raises(InputError, match=r"llama\.onnx: torch computes runs, not exported files; add backend"):
        plan(file)
    with pytest.raises(InputError, match=r"llama\.onnx: expected no precision, got bfloat16"):
        plan(file, backend="onnxruntime", precision="bfloat16")


@every_kind
def test_weights_are_shared_by_onnx_runtime_alone(kind: str) -> None:
    assert plan_type(kind)(Path("run"), backend="onnxruntime", share_weights=True).share_weights
    for backend in ("torch", "openvino"):
        with pytest.raises(InputError, match=f"share_weights: expected backend onnxruntime, got {backend}"):
            plan_type(kind)(Path("run"), backend=backend, share_weights=True)
