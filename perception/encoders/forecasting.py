"""What a forecaster expects of an encoder, and of whatever shows scenarios to it.

An encoder is an `nn.Module` whose `forward(batch)` gives `Tokens`; it never knows the block. Its input turns scenarios
into that batch. An encoder that brings none reads VectorNet's (`perception.encoders.vectornet.input`). One that makes
an agent's futures itself gives `ProposalTokens`, and says `gives_proposals = True` so that it gets the head for them.
One whose futures look at the scene for themselves, before the usual head regresses them, gives `ModeTokens`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from perception.tokens import Readout, Tokens
from perception.traffic.augmentation import Augmentation
from perception.traffic.scenario import MapPolylines, Scenario

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class ProposalTokens(Tokens):
    """Tokens for the block, and a feature of each future of the agents asked about.

    Attributes:
        proposals: Features of the futures; None where they are tokens too, behind all others and agent by agent.
        headings: Cosine and sine of the agents' present headings in the frame that the encoder saw them in.
        readout: The agents asked about and, where they are tokens, all their proposals.
    """

    proposals: Float[Tensor, "batch asked modes dim"] | None
    headings: Float[Tensor, "batch asked 2"]
    readout: Readout

    def split(
        self, read: Float[Tensor, "batch rows dim"]
    ) -> tuple[Float[Tensor, "batch asked dim"], Float[Tensor, "batch asked modes dim"]]:
        """Parts what was read from the block into agents and their proposals."""
        if self.proposals is not None:
            return read, self.proposals
        asked = self.headings.shape[1]
        return read[:, :asked], read[:, asked:].unflatten(1, (asked, -1))


@dataclass(frozen=True)
class ModeTokens(Tokens):
    """Tokens for the block, and what each future of the agents asked about has seen by itself.

    Attributes:
        modes: Added to the agent's token in the head, one for each of its futures.
    """

    modes: Float[Tensor, "batch asked modes dim"]


@runtime_checkable
class ForecastBatch(Protocol):
    """What head and loss read of any encoder's batch.

    Rows that are valid are the agents asked about, of all scenarios one after another, in the order asked.
    """

    @property
    def readout(self) -> Readout:
        """Tokens of the agents asked about."""
        ...

    @property
    def rows_valid(self) -> Bool[Tensor, "views rows"]:
        """False where a row only pads."""
        ...

    @property
    def row_velocities(self) -> Float[Tensor, "views rows 2"]:
        """Present velocity of each agent in its own frame, m/s."""
        ...

    @property
    def futures(self) -> Float[Tensor, "views rows future_steps 2"]:
        """Future of each agent in its own present frame, metres."""
        ...

    @property
    def futures_valid(self) -> Bool[Tensor, "views rows future_steps"]:
        """Where the future is labelled."""
        ...

    def to(self: Batch, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        ...


@runtime_checkable
class ForecastInput(Protocol):
    """How scenarios become an encoder's batch.

    An input may also have `arrays`, with the arguments of `collate`: the batch's `named_tensors` as arrays. If making
    those takes no PyTorch, a node whose model another runtime computes does not import it.
    """

    def prepare(self, scenario: Scenario) -> Any:
        """What can be computed once for a scenario, however often it is asked about.

        Raises:
            UnusableScenario: The encoder cannot use it.
        """
        ...

    def collate(
        self,
        prepared: Sequence[Any],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> ForecastBatch:
        """A batch that asks about some agents of each scenario.

        Args:
            prepared: From `prepare`.
            agents: For each scenario, which of its agents; at least one. They are observed at the present step.
            augmentations: For each scenario; none in evaluation.
        """
        ...

    def warm_up_agents(self, most: int) -> Iterable[int]:
        """Numbers of agents, up to `most`, at which the encoder meets tensors of a new size."""
        ...


@runtime_checkable
class MapEncoder(Protocol):
    """An encoder that makes of a map's polylines something that does not change from one scene to the next."""

    def encode_map(self, lanes: MapPolylines) -> Float[Tensor, "lanes dim"]:
        """One row a polyline; its `forward` takes those of a batch's scenarios as a second argument."""
        ...
