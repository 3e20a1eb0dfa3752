"""Trajectory forecasting: VectorNet → frozen language block → K futures of every agent asked about.

Pang et al. (ICLR 2024, §4.4) put the block between VectorNet's global graph and its decoder: all agent and lane tokens
enter it, the decoder reads the predicted agents' rows only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from perception.encoders.vectornet.network import VectorNet
from perception.encoders.vectornet.vectorize import VectorizedScenario, vectorize_lanes
from perception.encoders.vectornet.views import Frame, VectorBatch, make_batch
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import fold
from perception.heads.trajectory import TrajectoryDecoder, TrajectoryModes
from perception.kernels.linear import for_inference
from perception.kernels.precision import Precision
from perception.traffic.scenario import Forecast, MapPolylines


class Forecaster(nn.Module):
    """Encoder, block and head, and how scenarios are shown to them.

    Args:
        encoder: Polylines to tokens.
        block: The frozen block between its two projections, or any of its controls.
        head: Tokens of predicted agents to futures.
        frame: Whether every predicted agent is a view of its own, or the scenario is one view for all
            (`perception.encoders.vectornet.views`).
        max_tokens: Polylines in an agent's view; in the pairwise frame, those that each polyline sees.

    Raises:
        ValueError: The encoder is for another frame.
    """

    def __init__(
        self,
        encoder: VectorNet,
        block: FrozenBlockAdapter,
        head: TrajectoryDecoder,
        *,
        frame: Frame = "agent",
        max_tokens: int = 96,
    ) -> None:
        super().__init__()
        if encoder.pairwise != (frame == "pairwise"):
            raise ValueError(f"Forecaster: expected an encoder for frame={frame!r}, got pairwise={encoder.pairwise}")
        self.encoder = encoder
        self.block = block
        self.head = head
        self.frame: Frame = frame
        self.max_tokens = max_tokens

    def forward(self, batch: VectorBatch, lanes: Float[Tensor, "all_lanes dim"] | None = None) -> TrajectoryModes:
        """Futures of the rows that the batch asks about: leading axes [views, rows].

        Args:
            batch: The views.
            lanes: Features of every lane of the batch's scenarios, where they are known already (`lane_features`).
        """
        return self.head(self.block(self.encoder(batch, lanes), batch.readout), batch.row_velocities)

    def folded(self, precision: Precision = "float32") -> Forecaster:
        """The model for serving: the block in deployment form, inference kernels, all other weights shared.

        See `perception.frozen.folded` and `perception.kernels.linear`.

        Args:
            precision: Of the block's weights; all but `float32` change the forecasts a little.

        Raises:
            InputError: It has no language block, or several.
        """
        served = for_inference(self)
        served.add_module("block", fold(self.block, precision))
        return served.eval()

    @torch.inference_mode()
    def lane_features(self, lanes: MapPolylines) -> Float[Tensor, "lanes dim"]:
        """What the network makes of each lane by itself: the same in every scene, so it may be kept with the map."""
        vectors, _ = vectorize_lanes(lanes, lanes.points)
        return self.encoder.lane_subgraph(torch.from_numpy(vectors).to(next(self.parameters()).device))

    @torch.inference_mode()
    def forecast(
        self,
        scenarios: Sequence[VectorizedScenario],
        agents: Sequence[Int[np.ndarray, " _"]],
        lanes: Sequence[Float[Tensor, "_ dim"]] | None = None,
    ) -> list[Forecast]:
        """Futures in the city frame, of the wanted agents of each scenario, all in one call.

        Args:
            scenarios: What is known.
            agents: For each scenario, which agents of the *original* scenario are wanted. They must be observed at the
                present step; at least one a scenario.
            lanes: For each scenario, the `lane_features` of its map, where they are known already.
        """
        rows = [_rows_of(scenario, wanted) for scenario, wanted in zip(scenarios, agents, strict=True)]
        batch = make_batch(scenarios, rows, frame=self.frame, max_tokens=self.max_tokens)
        modes = self(batch.to(next(self.parameters()).device), None if lanes is None else torch.cat(list(lanes)))
        asked = batch.rows_valid.numpy()
        trajectories = modes.trajectories.double().cpu().numpy()[asked]
        probabilities = modes.probabilities.double().cpu().numpy()[asked]
        # Views stand in the scenarios' order and rows in the order asked, in either frame, so the rows that are valid
        # are the wanted agents of all scenarios one after another.
        ends = np.cumsum([len(wanted) for wanted in rows])[:-1]
        return [
            Forecast(wanted, _to_city(scenario, row, local), probability)
            for scenario, wanted, row, local, probability in zip(
                scenarios, agents, rows, np.split(trajectories, ends), np.split(probabilities, ends), strict=True
            )
        ]


def _rows_of(scenario: VectorizedScenario, wanted: Int[np.ndarray, " wanted"]) -> Int[np.ndarray, " wanted"]:
    """Rows of some agents of the original scenario among those that are observed at the present step."""
    rows = np.searchsorted(scenario.agents, wanted)
    found = (rows < len(scenario.agents)) & (scenario.agents[np.minimum(rows, len(scenario.agents) - 1)] == wanted)
    if len(wanted) == 0 or not found.all():
        raise ValueError(
            f"scenario {scenario.id}: expected agents observed at the present step, {scenario.agents.tolist()}, "
            f"got {wanted.tolist()}"
        )
    return rows


def _to_city(scenario: VectorizedScenario, rows: Int[np.ndarray, " wanted"], local: np.ndarray) -> np.ndarray:
    """Trajectories from each agent's present frame to the city frame, in float64."""
    x, y, cos, sin = (scenario.agent_poses[rows].astype(np.float64).T)[:, :, None, None]
    in_scene = np.stack(
        [x + cos * local[..., 0] - sin * local[..., 1], y + sin * local[..., 0] + cos * local[..., 1]], axis=-1
    )
    return scenario.city_SE2_scene.apply(in_scene)
