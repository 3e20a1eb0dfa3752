"""Recipes for forecasting. Nothing here imports torch: help is instant."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from typing_extensions import override

from perception.errors import InputError
from perception_tools.training.bounds import Count, Depth, Index, Share, Size, Weight
from perception_tools.training.recipes import BLOCKS, LearningRecipe, ScheduleRecipe, check_heads

ENCODERS = {
    "vectornet": "perception.encoders.vectornet.network:VectorNet",
    "mmtransformer": "perception.encoders.mm_transformer.network:MMTransformer",
    "query-centric": "perception.encoders.query_centric.network:QueryCentric",
}
"""Word in a recipe → the encoder's class."""
INPUTS = {
    "vectornet": "perception.encoders.vectornet.input:VectorizedInput",
    "mmtransformer": "perception.encoders.mm_transformer.input:SceneInput",
    "query-centric": "perception.encoders.query_centric.input:GraphInput",
}
"""Word in a recipe → the class of that encoder's input, which imports no PyTorch."""


@dataclass(frozen=True)
class ProposalRecipe:
    """mmTransformer's proposals: which are trained, and where the block stands.

    Attributes:
        regions: Regions of the true end points, with an equal share of the proposals each; only those of the region
            that holds the truth are trained. 1 trains all together.
        layers: Number of layers of each of the stacked transformers.
        history_vectors: Newest steps of a history that are read; Argoverse 1 has 19, Argoverse 2 has 49.
        block_tokens: What enters the block: agents and lanes (`scene`), or the agents alone.
        block_rows: What the head reads from it: the predicted agents, or their proposals too, which then enter it.
    """

    regions: Count = 1
    layers: Depth = 2
    history_vectors: Count = 19
    block_tokens: Literal["scene", "agents"] = "scene"
    block_rows: Literal["agents", "proposals"] = "agents"


@dataclass(frozen=True)
class ForecastRecipe(LearningRecipe):
    """A forecaster on Argoverse; the numbers of VectorNet unless another encoder's recipe sets its own.

    Attributes:
        encoder: `vectornet`, `mmtransformer`, `query-centric`, or anybody's as MODULE:CLASS: an `nn.Module` whose
            `forward(batch)` gives `Tokens`. It is built from those of the recipe's numbers that its constructor names,
            such as `dim`.
        view: `pairwise`: every agent and lane sees its neighbours from where it lies, all in one pass; `agent`: every
            predicted agent sees the scene from its own pose, a pass for each; `scene`: all from the focal one's.
        loss: `winner`: the mode that ends nearest to the truth is regressed, and the scores learn which it is;
            `proposals`: mmTransformer's.
        proposals: mmTransformer's own numbers.
        dim: Width of the tokens.
        global_layers: VectorNet's self-attention layers over all polylines; the query-centric encoder's layers of
            attention to neighbours, and as many in which an agent's futures look around.
        heads: Number of heads of that attention.
        dropout: Dropout in those layers.
        modes: Number of futures for each agent, K.
        max_tokens: Nearest polylines that each agent or lane sees (`pairwise`), or an agent's view holds (`agent`). The
            query-centric encoder's agents see this many, a quarter of them agents, and its lanes half as many.
        batch_scenarios: Number of scenarios in a step, over all processes.
        targets_per_scenario: Number of agents predicted in a training scenario: the focal agent and randomly chosen
            others whose future is complete, those that move first.
        focal_weight: Weight of the focal agent in the loss, where every other predicted agent weighs 1.
        expected_error_weight: Weight of the expected end error, which teaches the probabilities by how much modes are
            wrong.
        single_winner_from: Share of training from which the nearest mode alone is regressed, by the loss `winner`. At
            first all are, then fewer and fewer (EWTA); 0 regresses one from the beginning.
        mirror_probability: Chance that a training scenario is mirrored.
        turn_std_rad: Spread of the random turn of every training view.
        history_dropout: Chance that of a training scenario's past only the newest steps are seen, at least two and how
            many at random, so that a forecaster can do with a short past.
        earlier_present: Largest number of steps by which the present of a training scenario is moved back, at random:
            its past is shorter then, and what was past is the beginning of its future.
    """

    encoder: str = "vectornet"
    view: Literal["agent", "scene", "pairwise"] = "pairwise"
    loss: Literal["winner", "proposals"] = "winner"
    proposals: ProposalRecipe = ProposalRecipe()
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
    single_winner_from: Share = 0.0
    mirror_probability: Share = 0.5
    turn_std_rad: Weight = 0.1
    history_dropout: Share = 0.0
    earlier_present: Index = 0
    validate_every: Count = 4

    RENAMED: ClassVar[Mapping[str, str]] = {"frame": "view"}

    @property
    def varies_past(self) -> bool:
        """Whether a training scenario's past differs from pass to pass, so that it is prepared anew each time."""
        return self.history_dropout > 0 or self.earlier_present > 0

    def winners(self, trained: float) -> int:
        """How many modes are regressed after a share of training."""
        if trained >= self.single_winner_from:
            return 1
        return math.ceil(self.modes * (1 - trained / self.single_winner_from))

    @override
    def check(self) -> None:
        """As in `LearningRecipe`; of somebody's own encoder nothing is known but the bounds."""
        super().check()
        if self.encoder in ENCODERS:
            check_heads(self.dim, self.heads)
        if self.single_winner_from and self.loss != "winner":
            raise InputError(
                f"single_winner_from: expected 0 with loss={self.loss}, which has its own winners, got "
                f"{self.single_winner_from}; leave it out"
            )
        regions = self.proposals.regions
        if self.encoder == "query-centric" and self.view != "pairwise":
            raise InputError(
                f"view: expected pairwise, got {self.view}; in the query-centric encoder every agent and lane sees its "
                "neighbours from where it lies"
            )
        if self.encoder != "mmtransformer":
            if self.proposals != ProposalRecipe():
                raise InputError(
                    f"proposals: expected them as they are by default, because only mmtransformer reads them, got "
                    f"{self.proposals} with encoder {self.encoder}; leave them out"
                )
            return
        if self.view == "pairwise":
            raise InputError("view: expected agent or scene, got pairwise; mmTransformer sees a scene from one pose")
        if self.modes % regions or (regions > 1 and self.loss != "proposals"):
            raise InputError(
                f"proposals.regions: expected a number that divides modes={self.modes}, and loss=proposals with more "
                f"than one, got {regions} with loss={self.loss}; give --loss proposals and such a number"
            )


def numbers_for(kind: Callable[..., Any], recipe: ForecastRecipe) -> dict[str, Any]:
    """Those of a recipe's numbers that a constructor asks for by name."""
    numbers = vars(recipe) | vars(recipe.proposals)
    return {name: numbers[name] for name in inspect.signature(kind).parameters if name in numbers}


_MM_TRANSFORMER = ForecastRecipe(
    encoder="mmtransformer",
    view="agent",
    loss="proposals",
    dim=128,
    heads=2,
    dropout=0.0,
    passes=32,
    batch_scenarios=32,
    targets_per_scenario=1,
    learning_rate=5e-4,
    warmup_steps=0,
    schedule="timm-multistep",
    timm_schedule=ScheduleRecipe(decay_passes=(20, 24, 28), decay_rate=0.25),
)
"""Pang et al., §C.4: AdamW, 5e-4, batch 32, 32 epochs; "drop the learning rate by 1/4" at 20, 24 and 28 is read as a
factor of 0.25. Weight decay, clipping, augmentation and averaging are not stated there and are the house's."""
_QUERY_CENTRIC = ForecastRecipe(
    encoder="query-centric",
    dim=128,
    max_tokens=32,
    passes=22,
    batch_scenarios=4,
    single_winner_from=0.5,
    history_dropout=0.5,
)
"""Numbers of the house, chosen on held-out training scenes (`tools/README.md`). To compare it with another encoder,
train both alike: give the other's recipe these numbers, or this one VectorNet's."""
_BASES = {
    "vectornet": (ForecastRecipe(), "VectorNet"),
    "query-centric": (_QUERY_CENTRIC, "query-centric encoder (HiVT, QCNet, SIMPL)"),
    "query-centric-micro": (
        replace(_QUERY_CENTRIC, dim=32, heads=4, global_layers=1, max_tokens=16),
        "query-centric encoder, tiny",
    ),
    "mmtransformer": (_MM_TRANSFORMER, "mmTransformer"),
    "mmtransformer-36": (
        replace(_MM_TRANSFORMER, modes=36, proposals=ProposalRecipe(regions=6)),
        "mmTransformer, 36 proposals trained by region",
    ),
}

RECIPES: dict[str, ForecastRecipe] = {
    f"forecast/{name}{suffix}": replace(base, block=block)
    for name, (base, _) in _BASES.items()
    for suffix, (block, _) in BLOCKS.items()
}
"""Word on the command line → recipe. Rows of Pang et al., Tables 4 and B (there VectorNet: AdamW, 5e-4, batch 32, 60
epochs)."""

DESCRIPTIONS = {
    f"forecast/{name}{suffix}": f"{words}, {text}"
    for name, (_, words) in _BASES.items()
    for suffix, (_, text) in BLOCKS.items()
}
