"""Mixup and CutMix of a classification batch by timm, drawn from a seed instead of NumPy's global generator."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor

from perception.errors import InputError
from perception_tools.training.recipes import MixupRecipe


class BatchMixup:
    """Mixes the records of a batch in pairs, and turns labels into soft targets.

    A `training_step` calls it as `images, targets = self.mixup(batch.images, batch.labels, self.step_seed(batch_idx))`.

    Args:
        recipe: The numbers. Where both alphas are 0 the records stay as they are, and labels are smoothed only.
        classes: Number of classes.
    """

    def __init__(self, recipe: MixupRecipe, classes: int) -> None:
        self._mixup = Mixup(
            recipe.mixup_alpha,
            recipe.cutmix_alpha,
            prob=recipe.mixup_prob,
            switch_prob=recipe.mixup_switch_prob,
            mode=recipe.mixup_mode,
            label_smoothing=recipe.label_smoothing,
            num_classes=classes,
        )
        self._mixes = recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0

    def __call__(
        self, records: Float[Tensor, "batch ..."], labels: Int[Tensor, " batch"], seed: int
    ) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch classes"]]:
        """The mixed records, for which the memory of `records` is used, and the target probabilities.

        Args:
            records: Images [channels, height, width], or clips [channels, time, height, width], whose images are cut
                alike; Mixup without CutMix takes any other tensors too.
            labels: Class of each.
            seed: Random seed for the mixing ratios and boxes.

        Raises:
            InputError: The batch cannot be divided into pairs.
        """
        if not self._mixes:
            return records, mixup_target(labels, self._mixup.num_classes, smoothing=self._mixup.label_smoothing)
        if len(records) % 2:
            raise InputError(f"mixup: expected an even number of records in a batch, got {len(records)}")
        images = records.flatten(1, -3) if records.ndim > 4 else records
        state = np.random.get_state()  # timm draws from the global generator
        np.random.seed(seed % 2**32)
        try:
            mixed, targets = self._mixup(images, labels)
        finally:
            np.random.set_state(state)
        return mixed.view_as(records), targets
