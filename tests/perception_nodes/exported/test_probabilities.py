"""Softmax without PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception_nodes.exported.probabilities import softmax

finite = st.floats(-1e4, 1e4, width=32)
logits = hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(1, 5)), elements=finite)


@given(logits)
def test_it_is_pytorchs(values: np.ndarray) -> None:
    expected = torch.from_numpy(values).double().softmax(-1).numpy()
    np.testing.assert_allclose(softmax(values), expected, rtol=1e-12, atol=1e-300)
