"""A pipeline's block that is served elsewhere, as a module in place of its adapter.

served = forecaster.with_block(RemoteBlock(ZenohBlocks(session), "forecast"))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from perception.frozen.block import EVERY_ROW
from perception.tokens import Readout, Tokens
from perception_nodes.block.request import tensors_of


class BlockTransport(Protocol):
    """Connection to a block service: `ZenohBlocks` on a robot, `OipBlocks` to other hosts, `RayBlocks` to a cluster."""

    def infer(self, pipeline: str, tensors: Mapping[str, Tensor], timeout_s: float) -> Tensor:
        """Returns the answer to a request of named tensors; thread-safe.

        Raises:
            MalformedRequest: The service cannot use the request.
            UnknownPipeline: No worker serves the pipeline.
            Overloaded: The queues of all its workers are full.
            DeadlineExceeded: No answer came in time.
            NoWorker: No worker could be reached in time.
            BlockFailed: The service failed at the request.
        """
        ...


class RemoteBlock(nn.Module):
    """Asks a service for the rows that the head reads; has the adapter's call.

    Args:
        transport: Connection to the service.
        pipeline: Name of the pipeline there.
        timeout_s: Time limit of each request, seconds.
    """

    def __init__(self, transport: BlockTransport, pipeline: str, timeout_s: float = 1.0) -> None:
        super().__init__()
        self._transport, self._pipeline = transport, pipeline
        self.timeout_s = timeout_s

    def forward(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Tensor:
        """Returns the rows that the head reads; waits for them."""
        answer = self._transport.infer(self._pipeline, tensors_of(tokens, readout), self.timeout_s)
        return answer.to(tokens.values.device)
