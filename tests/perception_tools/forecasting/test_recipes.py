"""Forecasting recipes go to JSON and back and differ in what they say they do."""

from __future__ import annotations

import dataclasses
import json

import pytest

from perception.errors import InputError
from perception_tools.forecasting.recipes import DESCRIPTIONS, RECIPES, ForecastRecipe, ProposalRecipe
from perception_tools.training.recipes import BlockRecipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_json(name: str) -> None:
    recipe = dataclasses.replace(RECIPES[name], seed=7, learning_rate=3e-4)
    assert ForecastRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "values",
    [
        {**ForecastRecipe().to_json(), "attention": "more"},
        {"dim": 256},
        {**ForecastRecipe().to_json(), "block": {"kind": "none", "flavour": "vanilla"}},
    ],
)
def test_a_recipe_of_another_version_is_refused(values: dict) -> None:
    with pytest.raises(InputError, match="expected the fields of this version's ForecastRecipe"):
        ForecastRecipe.from_json(values)


@pytest.mark.parametrize(
    "model", ["vectornet", "mmtransformer", "mmtransformer-36", "query-centric", "query-centric-micro"]
)
def test_the_controls_differ_from_the_method_in_their_block_alone(model: str) -> None:
    kinds = {"": "none", "-llama": "language", "-mlp": "mlp", "-random": "random"}
    method = RECIPES[f"forecast/{model}-llama"]
    for suffix, kind in kinds.items():
        recipe = RECIPES[f"forecast/{model}{suffix}"]
        assert recipe.block.kind == kind
        assert dataclasses.replace(recipe, block=BlockRecipe()) == dataclasses.replace(method, block=BlockRecipe())
        assert dataclasses.replace(recipe.block, kind="language") == method.block
        recipe.check()


def test_mm_transformer_has_the_papers_numbers_and_36_proposals_six_regions() -> None:
    paper, regions = RECIPES["forecast/mmtransformer"], RECIPES["forecast/mmtransformer-36"]
    assert (paper.dim, paper.heads, paper.modes, paper.proposals.layers, paper.proposals.history_vectors) == (
        128,
        2,
        6,
        2,
        19,
    )
    assert (paper.optimizer.opt, paper.learning_rate, paper.batch_scenarios, paper.passes) == ("adamw", 5e-4, 32, 32)
    assert (paper.timm_schedule.decay_passes, paper.timm_schedule.decay_rate) == ((20, 24, 28), 0.25)
    assert dataclasses.replace(regions, modes=6, proposals=paper.proposals) == paper
    assert (regions.modes, regions.proposals.regions) == (36, 6)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("mmtransformer", {"view": "pairwise"}, "view: expected agent or scene, got pairwise"),
        ("mmtransformer-36", {"modes": 35}, "a number that divides modes=35"),
        ("mmtransformer-36", {"loss": "winner"}, "loss=proposals with more than one, got 6 with loss=winner"),
        ("vectornet", {"proposals": ProposalRecipe(regions=2)}, "only mmtransformer reads them"),
        ("query-centric", {"view": "scene"}, "view: expected pairwise, got scene"),
        ("query-centric", {"proposals": ProposalRecipe(layers=1)}, "only mmtransformer reads them"),
        ("query-centric", {"dim": 127}, "dim: expected a multiple of heads=8"),
        ("mmtransformer", {"single_winner_from": 0.5}, "single_winner_from: expected 0 with loss=proposals"),
        ("mmtransformer", {"dim": 127}, "dim: expected a multiple of heads=2"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(name: str, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataclasses.replace(RECIPES[f"forecast/{name}"], **changes).check()


def test_the_query_centric_recipe_differs_from_vectornets_in_encoder_size_and_how_it_is_trained_alone() -> None:
    ours, vectornet = (vars(RECIPES[f"forecast/{name}"]) for name in ("query-centric", "vectornet"))
    different = {name for name in ours if ours[name] != vectornet[name]}
    how = {"passes", "batch_scenarios", "single_winner_from", "history_dropout"}
    assert different == {"encoder", "dim", "max_tokens"} | how


def test_every_recipe_has_its_line_of_help() -> None:
    assert DESCRIPTIONS.keys() == RECIPES.keys()
