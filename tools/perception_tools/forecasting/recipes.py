"""Recipes for forecasting. Nothing here imports torch: help is instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from typing_extensions import override

from perception_tools.training.bounds import Count, Depth, Index, Share, Size, Weight
from perception_tools.training.recipes import BLOCKS, LearningRecipe, check_heads

ENCODERS = {"vectornet": "perception.encoders.vectornet.network:VectorNet"}
"""Word in a recipe → the encoder's class."""


@dataclass(frozen=True)
class ForecastRecipe(LearningRecipe):
    """VectorNet on Argoverse; the learning rate follows a cosine to 1 % of its peak.

    Attributes:
        encoder: `vectornet`, or anybody's as MODULE:CLASS: an `nn.Module` whose `forward(batch)` gives `Tokens`. It is
            built from those of the recipe's numbers that its constructor names, such as `dim`.
        view: `pairwise`: every agent and lane sees its neighbours from where it lies, all in one pass; `agent`: every
            predicted agent sees the scene from its own pose, a pass for each; `scene`: all from the focal one's.
        dim: Width of the tokens.
        global_layers: Self-attention layers over all polylines.
        heads: Number of heads of that attention.
        dropout: Dropout in the global graph.
        modes: Number of futures for each agent, K.
        max_tokens: Nearest polylines that each agent or lane sees (`pairwise`), or an agent's view holds (`agent`).
        batch_scenarios: Number of scenarios in a step, over all processes.
        targets_per_scenario: Number of agents predicted in a training scenario: the focal agent and randomly chosen
            others whose future is complete, those that move first.
        focal_weight: Weight of the focal agent in the loss, where every other predicted agent weighs 1.
        expected_error_weight: Weight of the expected end error, which teaches the probabilities by how much modes are
            wrong.
        mirror_probability: Chance that a training scenario is mirrored.
        turn_std_rad: Spread of the random turn of every training view.
    """

    encoder: str = "vectornet"
    view: Literal["agent", "scene", "pairwise"] = "pairwise"
    dim: Size = 256
    global_layers: Depth = 2
    heads: Size = 8
    dropout: Share = 0.1
    modes: Size = 6
    max_tokens: Count = 48
    passes: Count = 25
    batch_scenarios: Count = 8
    targets_per_scenario: Count = 12
    focal_weight: Weight = 1.0
    warmup_steps: Index = 300
    expected_error_weight: Weight = 0.4
    mirror_probability: Share = 0.5
    turn_std_rad: Weight = 0.1
    validate_every: Count = 4

    RENAMED: ClassVar[Mapping[str, str]] = {"frame": "view"}

    @override
    def check(self) -> None:
        """As in `LearningRecipe`; of somebody's own encoder nothing is known but the bounds."""
        super().check()
        if self.encoder in ENCODERS:
            check_heads(self.dim, self.heads)


RECIPES: dict[str, ForecastRecipe] = {
    f"forecast/vectornet{suffix}": ForecastRecipe(block=block) for suffix, (block, _) in BLOCKS.items()
}
"""Word on the command line → recipe. Rows of Pang et al., Tables 4 and B (there: AdamW, 5e-4, batch 32, 60 epochs)."""

DESCRIPTIONS = {f"forecast/vectornet{suffix}": f"VectorNet, {text}" for suffix, (_, text) in BLOCKS.items()}
