"""Views as the tensors that mmTransformer reads; `perception.encoders.mm_transformer.input` makes them as arrays."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float32, Int
from torch import Tensor

from perception.batches import TensorRecord
from perception.tokens import Readout


@dataclass(frozen=True)
class SceneBatch(TensorRecord):
    """Views as tensors, padded to the most agents, lanes and rows among them.

    Attributes:
        histories: The newest vectors of each agent, oldest first, see `HISTORY_FEATURES` of the input.
        positions: Present positions, metres.
        agents_valid: False where a view has fewer agents.
        lanes: See `LANE_FEATURES` of the input.
        lanes_valid: False where a view has fewer lanes.
        rows: The predicted agents among a view's agents.
        rows_valid: False where a view has fewer predicted agents.
        row_headings: Cosine and sine of their present headings in the view.
        row_velocities: Present velocity of the predicted agents, each in its own frame, m/s.
        futures: Future of the predicted agents, each in its own present frame, metres.
        futures_valid: Where it is labelled.
    """

    histories: Float32[Tensor, "views agents history_vectors history_features"]
    positions: Float32[Tensor, "views agents 2"]
    agents_valid: Bool[Tensor, "views agents"]
    lanes: Float32[Tensor, "views lanes lane_vectors lane_features"]
    lanes_valid: Bool[Tensor, "views lanes"]
    rows: Int[Tensor, "views rows"]
    rows_valid: Bool[Tensor, "views rows"]
    row_headings: Float32[Tensor, "views rows 2"]
    row_velocities: Float32[Tensor, "views rows 2"]
    futures: Float32[Tensor, "views rows future_steps 2"]
    futures_valid: Bool[Tensor, "views rows future_steps"]

    @property
    def readout(self) -> Readout:
        """The rows of the predicted agents."""
        return Readout(self.rows, self.rows_valid)
