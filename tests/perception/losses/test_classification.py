from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.mixup import Mixup
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from perception.errors import InputError
from perception.losses.classification import classification_loss


@given(st.integers(1, 6), st.integers(2, 9), st.sampled_from([0.0, 0.1, 0.5]))
def test_smoothed_cross_entropy_is_timms_in_values_and_gradients(batch: int, classes: int, smoothing: float) -> None:
    logits = torch.randn(batch, classes, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(classes, (batch,))
    theirs = LabelSmoothingCrossEntropy(smoothing)(logits, labels)
    mine = classification_loss(logits, labels, smoothing)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(mine, logits), torch.autograd.grad(theirs, logits))


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_cross_entropy_of_mixed_pictures_is_timms(cutmix: float) -> None:
    mixup = Mixup(mixup_alpha=0.8, cutmix_alpha=cutmix, prob=1, switch_prob=0.5, label_smoothing=0.1, num_classes=7)
    _, targets = mixup(torch.rand(4, 3, 8, 8), torch.tensor([0, 3, 6, 3]))
    logits = torch.randn(4, 7, requires_grad=True)
    torch.testing.assert_close(classification_loss(logits, targets), SoftTargetCrossEntropy()(logits, targets))


@pytest.mark.parametrize("autocast", [True, False])
def test_the_loss_of_narrow_logits_is_computed_in_float32(autocast: bool) -> None:
    logits = torch.tensor([[100.0, 0.0, 0.0]], dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = classification_loss(logits, torch.tensor([1]), 0.1)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(0.9 * 100 + 0.1 * 200 / 3, rel=1e-6)


def test_probabilities_are_not_smoothed_twice() -> None:
    words = r"expected 0 for targets that are probabilities, got 0\.1; give it to what mixes the pictures$"
    with pytest.raises(InputError, match=words):
        classification_loss(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]), 0.1)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_that_is_no_probability_is_refused(smoothing: float) -> None:
    with pytest.raises(InputError, match="expected a number from 0 to below 1"):
        classification_loss(torch.zeros(1, 2), torch.tensor([0]), smoothing)
