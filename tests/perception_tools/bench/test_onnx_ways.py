"""Ways to compute a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perception_tools.bench.onnx_ways import FIRST, torch_ways
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource


class Model(nn.Linear):
    block = None


@dataclass
class Trained:
    model: Any
    name: str = "made"
    recipe: Any = None


def missing() -> nn.Module:
    raise ModuleNotFoundError("no such library", name="absent_library")


@pytest.fixture
def exportable() -> Exportable:
    source = GraphSource(Model(3, 2).eval(), lambda model, x: model(x), input_name="values")
    return Exportable(source, dict, (), {}, lambda _: None, peers={"other": lambda: Model(3, 2), "absent": missing})


def test_peers_stand_beside_the_model_and_are_not_compared_with_it(
    exportable: Exportable, capsys: pytest.CaptureFixture[str]
) -> None:
    x = torch.ones(4, 3)
    ways = torch_ways(exportable, Trained(exportable.source.model), x, quick=True)
    assert [(way.name, way.is_same) for way in ways] == [(FIRST, True), ("torch, not folded", True), ("other", False)]
    np.testing.assert_array_equal(ways[0].answer(x)[0], exportable.source.model(x).detach().numpy())
    assert "absent: left out, absent_library is not installed" in capsys.readouterr().out


def test_a_compiler_that_fails_is_left_out_with_its_reason(
    exportable: Exportable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Any) -> Any:
        def call(_: Any) -> Any:
            raise RuntimeError("no compiler\nsecond line")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    ways = torch_ways(replace(exportable, peers={}), Trained(exportable.source.model), torch.ones(1, 3), quick=False)
    assert [way.name for way in ways] == [FIRST, "torch, not folded"]
    assert "torch.compile does not work here: no compiler" in capsys.readouterr().out
