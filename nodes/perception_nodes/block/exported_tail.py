"""A block's tail in another runtime, for the block service."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.folded import BlockTail
from perception_nodes.exported.runtimes import Runtime


class ExportedTail(nn.Module):
    """Takes the place of a `BlockTail`, whose weights then stay in their file, unread.

    Args:
        runtime: The tail's graph, as `perception_tools.export.tail` writes it.
        tail: The tail that it was made from.

    Raises:
        InputError: It was made from another one.
    """

    def __init__(self, runtime: Runtime, tail: BlockTail) -> None:
        super().__init__()
        found = runtime.file.metadata.get("fingerprint")
        if found != tail.fingerprint:
            raise InputError(
                f"{runtime.file.path}: expected the tail of the block {tail.fingerprint[:12]}, found that of {found}; "
                "remove it, and start again"
            )
        self.runtime = runtime

    def forward(
        self, residual: Float[Tensor, "rows width"], attended: Float[Tensor, "rows inner"]
    ) -> Float[Tensor, "rows width"]:
        """Returns the block's output for rows of any pipelines."""
        arrays = {"residual": residual.float().numpy(), "attended": attended.float().numpy()}
        return torch.from_numpy(self.runtime.run(arrays)["hidden"])
