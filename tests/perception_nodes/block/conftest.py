"""A pipeline around a small block, for all transports."""

from __future__ import annotations

import pytest
import torch

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.folded import FoldedBlock, fold


@pytest.fixture(scope="session")
def adapter() -> FrozenBlockAdapter:
    """The adapter of a trained pipeline."""
    torch.manual_seed(0)
    return build_adapter(16, source="random:64x96x4").requires_grad_(False)


@pytest.fixture(scope="session")
def folded(adapter: FrozenBlockAdapter) -> FoldedBlock:
    """The same in the deployed form."""
    return fold(adapter)
