"""A pipeline's block that is served elsewhere, as a module that stands where its adapter stood.

forecaster.block = RemoteBlock(ZenohBlocks(session), "forecast")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from perception.frozen.block import EVERY_ROW
from perception.tokens import Readout, Tokens
from perception_nodes.block.request import tensors_of


class BlockTransport(Protocol):
    """A way to a block service: `ZenohBlocks` on a robot, `OipBlocks` to other hosts, `RayBlocks` to a cluster."""

    def infer(self, pipeline: str, tensors: Mapping[str, Tensor], timeout_s: float) -> Tensor:
        """The answer to a request of named tensors; thread-safe.

        Raises:
            MalformedRequest: The service cannot use the request.
            UnknownPipeline: Nobody serves the pipeline.
            Overloaded: All who serve it have full queues.
            DeadlineExceeded: No answer within the time.
            NoWorker: Nobody could be reached within the time.
            BlockFailed: The service failed at it.
        """
        ...


class RemoteBlock(nn.Module):
    """Asks a service for what the head reads; called as the adapter is.

    Args:
        transport: The way to the service.
        pipeline: Its name there.
        timeout_s: Deadline of each request.
    """

    def __init__(self, transport: BlockTransport, pipeline: str, timeout_s: float = 1.0) -> None:
        super().__init__()
        self._transport, self._pipeline = transport, pipeline
        self.timeout_s = timeout_s

    def forward(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Tensor:
        """The rows that the head reads; waits for them."""
        answer = self._transport.infer(self._pipeline, tensors_of(tokens, readout), self.timeout_s)
        return answer.to(tokens.values.device)
