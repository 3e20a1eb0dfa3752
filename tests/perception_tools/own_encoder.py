"""An encoder as a user writes one, with an input of its own: each agent by its own track alone, without a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from perception.batches import TensorRecord
from perception.tokens import Readout, Tokens
from perception.traffic.augmentation import NO_AUGMENTATION, Augmentation
from perception.traffic.scenario import Scenario

STEPS = 4


@dataclass(frozen=True)
class TrackBatch(TensorRecord):
    """One view for each agent asked about, with one token."""

    tracks: Tensor
    row_velocities: Tensor
    futures: Tensor
    futures_valid: Tensor

    @property
    def rows_valid(self) -> Tensor:
        return torch.ones(len(self.tracks), 1, dtype=torch.bool)

    @property
    def readout(self) -> Readout:
        return Readout(torch.zeros(len(self.tracks), 1, dtype=torch.long), self.rows_valid)


class TrackInput:
    """The newest positions of an agent in its own frame."""

    def prepare(self, scenario: Scenario) -> Scenario:
        return scenario

    def collate(
        self,
        prepared: Sequence[Scenario],
        agents: Sequence[np.ndarray],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> TrackBatch:
        changes = augmentations or [NO_AUGMENTATION] * len(prepared)
        wanted = [(s, int(a), c) for s, chosen, c in zip(prepared, agents, changes, strict=True) for a in chosen]
        rows = [own_view(*one) for one in wanted]
        stacked = [torch.from_numpy(np.stack(part)).unsqueeze(1) for part in zip(*rows, strict=True)]
        return TrackBatch(stacked[0].flatten(1), *stacked[1:])

    def warm_up_agents(self, most: int) -> tuple[int, ...]:
        return (most,)


def own_view(scenario: Scenario, agent: int, change: Augmentation) -> tuple[np.ndarray, ...]:
    """Track, velocity and future of an agent in its own frame, and where the future is labelled."""
    tracks, present = scenario.agents, scenario.present
    side = np.array([1, -1] if change.mirrored else [1, 1])
    own_SE2_city = scenario.city_SE2_agent(agent).inverse()
    local = (own_SE2_city.apply(tracks.position[agent]) * side).astype(np.float32)
    velocity = (own_SE2_city.rotate(tracks.velocity[agent, present]) * side).astype(np.float32)
    valid = tracks.valid[agent]
    newest = np.where(valid[:, None], local, 0)[present + 1 - STEPS : present + 1]
    return newest.ravel(), velocity, local[present + 1 :], valid[present + 1 :]


class TrackEncoder(nn.Module):
    """Reads tracks; `dim` comes from the recipe by its name, `hidden` keeps its default."""

    def __init__(self, dim: int, hidden: int = 8) -> None:
        super().__init__()
        self.input = TrackInput()
        self.layers = nn.Sequential(nn.Linear(2 * STEPS, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, batch: TrackBatch) -> Tokens:
        return Tokens(self.layers(batch.tracks).unsqueeze(1), batch.rows_valid)
