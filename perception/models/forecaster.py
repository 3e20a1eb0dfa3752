"""Trajectory forecasting: encoder → frozen language block → K futures of every agent asked about.

Pang et al. (ICLR 2024, §4.4) put the block between VectorNet's global graph and its decoder: all agent and lane tokens
enter it, the decoder reads the predicted agents' rows only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from perception.encoders.forecasting import ForecastBatch, ForecastInput, MapEncoder, ModeTokens, ProposalTokens
from perception.encoders.vectornet.input import VectorizedInput
from perception.heads.trajectory import TrajectoryDecoder, TrajectoryModes
from perception.heads.trajectory_proposals import ProposalDecoder
from perception.kernels.precision import Precision
from perception.models.with_block import exchange_block, fold_block
from perception.traffic.agent_frames import forecasts_in_city
from perception.traffic.augmentation import Augmentation
from perception.traffic.scenario import Forecast, MapPolylines, Scenario


class Forecaster(nn.Module):
    """Encoder, block and head, and how scenarios are shown to them.

    Args:
        encoder: Turns a batch of its input into tokens, see `perception.encoders.forecasting`.
        block: The frozen block between its two projections, or any of its controls.
        head: Turns tokens of predicted agents into futures; a `ProposalDecoder` behind an encoder that gives proposals.
        input: Shows scenarios to the encoder. None takes the encoder's own `input`, or VectorNet's where it has none.
    """

    def __init__(
        self,
        encoder: nn.Module,
        block: nn.Module,
        head: TrajectoryDecoder | ProposalDecoder,
        input: ForecastInput | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.block = block
        self.head = head
        self.input: ForecastInput = input or getattr(encoder, "input", None) or VectorizedInput()

    def forward(self, batch: ForecastBatch, lanes: Float[Tensor, "all_lanes dim"] | None = None) -> TrajectoryModes:
        """Futures of the rows that the batch asks about: leading axes [views, rows].

        Args:
            batch: From `collate`.
            lanes: From `encode_map`, for every lane of the batch's scenarios; computed anew where not given.
        """
        tokens = self.encoder(batch) if lanes is None else self.encoder(batch, lanes)
        if isinstance(tokens, ProposalTokens):
            return self.head(*tokens.split(self.block(tokens, tokens.readout)), tokens.headings)
        agents = self.block(tokens, batch.readout)
        if isinstance(tokens, ModeTokens):
            return self.head(agents, batch.row_velocities, tokens.modes)
        return self.head(agents, batch.row_velocities)

    def answer(self, batch: ForecastBatch, lanes: Float[Tensor, "all_lanes dim"] | None = None) -> TrajectoryModes:
        """The futures that are given out and judged; of many proposals the head chooses some. Arguments as above."""
        return self.head.answer(self(batch, lanes))

    @property
    def horizon_steps(self) -> int:
        """Number of steps of a future."""
        return self.head.steps

    def prepare(self, scenario: Scenario) -> Any:
        """What the encoder computes once for a scenario; see `ForecastInput.prepare`."""
        return self.input.prepare(scenario)

    def collate(
        self,
        prepared: Sequence[Any],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> ForecastBatch:
        """A batch that asks about some agents of each scenario; see `ForecastInput.collate`."""
        return self.input.collate(prepared, agents, augmentations)

    def warm_up_agents(self, most: int) -> Iterable[int]:
        """Numbers of agents, up to `most`, at which the first forecast takes longer than later ones."""
        return self.input.warm_up_agents(most)

    def encode_map(self, lanes: MapPolylines) -> Float[Tensor, "lanes dim"] | None:
        """What the encoder makes of each polyline by itself, to be kept with the map; None where it makes nothing."""
        return self.encoder.encode_map(lanes) if isinstance(self.encoder, MapEncoder) else None

    def with_block(self, block: nn.Module) -> Forecaster:
        """The model with another block; all other weights are shared."""
        return exchange_block(self, block)

    def folded(self, precision: Precision = "float32") -> Forecaster:
        """The model for serving; see `perception.models.with_block.fold_block`."""
        return fold_block(self, precision)

    @torch.inference_mode()
    def forecast(
        self,
        scenarios: Sequence[Scenario],
        agents: Sequence[Int[np.ndarray, " _"]],
        lanes: Sequence[Float[Tensor, "_ dim"]] | None = None,
    ) -> list[Forecast]:
        """Futures in the city frame, of the wanted agents of each scenario, all in one call.

        Args:
            scenarios: What is known.
            agents: For each scenario, which of its agents are wanted. They must be observed at the present step; at
                least one a scenario.
            lanes: For each scenario, the rows of `encode_map` for its map's polylines, where they are known already.
        """
        batch = self.collate([self.prepare(scenario) for scenario in scenarios], agents)
        modes = self.answer(batch.to(next(self.parameters()).device), None if lanes is None else torch.cat(list(lanes)))
        valid = batch.rows_valid.cpu().numpy()
        trajectories = modes.trajectories.double().cpu().numpy()[valid]
        probabilities = modes.probabilities.double().cpu().numpy()[valid]
        return forecasts_in_city(scenarios, agents, trajectories, probabilities)
