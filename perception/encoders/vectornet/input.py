"""The input of VectorNet, and of encoders that bring none: scenarios as polylines of vectors, seen from a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from perception.encoders.vectornet.vectorize import VectorizedScenario, mirror, vectorize
from perception.encoders.vectornet.views import View, make_views
from perception.traffic.augmentation import NO_AUGMENTATION, Augmentation
from perception.traffic.scenario import Scenario

if TYPE_CHECKING:
    from perception.encoders.vectornet.batch import VectorBatch

POLYLINE_STEP = 8
"""In inference polylines are padded to a multiple of this, so that kernels, which are written anew for each size
(`perception.kernels.linear`), meet few sizes."""


class VectorizedInput:
    """Turns scenarios into the arrays of a `VectorBatch`; imports PyTorch only for the batch itself.

    Args:
        view: From where polylines are seen, see `perception.encoders.vectornet.views`.
        max_tokens: Polylines that each agent or lane sees (`pairwise`) or that an agent's view holds (`agent`).
    """

    def __init__(self, view: View = "pairwise", max_tokens: int = 48) -> None:
        self.view: View = view
        self.max_tokens = max_tokens

    def prepare(self, scenario: Scenario) -> VectorizedScenario:
        """The scenario's vectors; see `vectorize`."""
        return vectorize(scenario)

    def arrays(
        self,
        prepared: Sequence[VectorizedScenario],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> dict[str, np.ndarray]:
        """Views of the agents asked about, as arrays; see `ForecastInput`."""
        augmented = augmentations or [NO_AUGMENTATION] * len(prepared)
        return make_views(
            [mirror(s) if a.mirrored else s for s, a in zip(prepared, augmented, strict=True)],
            [rows_of(scenario, wanted) for scenario, wanted in zip(prepared, agents, strict=True)],
            view=self.view,
            max_tokens=self.max_tokens,
            turn_rad=[a.turn_rad for a in augmented],
        )

    def collate(
        self,
        prepared: Sequence[VectorizedScenario],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> VectorBatch:
        """The same as tensors; see `ForecastInput.collate`."""
        from perception.encoders.vectornet.batch import VectorBatch

        return VectorBatch.of(self.arrays(prepared, agents, augmentations))

    def warm_up_agents(self, most: int) -> range:
        """One number of agents for each padded size."""
        return range(1, most + 1, POLYLINE_STEP)


def rows_of(scenario: VectorizedScenario, wanted: Int[np.ndarray, " wanted"]) -> Int[np.ndarray, " wanted"]:
    """Rows of some agents of the original scenario among those that are observed at the present step."""
    rows = np.searchsorted(scenario.agents, wanted)
    found = (rows < len(scenario.agents)) & (scenario.agents[np.minimum(rows, len(scenario.agents) - 1)] == wanted)
    if len(wanted) == 0 or not found.all():
        raise ValueError(
            f"scenario {scenario.id}: expected agents observed at the present step, {scenario.agents.tolist()}, "
            f"got {wanted.tolist()}"
        )
    return rows
