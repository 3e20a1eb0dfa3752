"""Pictures as patches, for whoever looks at what the block makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from perception.analysis.filtering import centre_prior, grid_targets
from perception.errors import InputError
from perception.images.image import Picture
from perception.models.image_classifier import ImageClassifier
from perception.models.image_stages import read_stages
from perception_datasets.errors import Failures, RecordError
from perception_datasets.images.masks import Masks, PictureMask, open_masks
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import Pictures
from perception_tools.analysis.filtering.pictures import draw_patches
from perception_tools.analysis.filtering.views import Asked, TokenView, TokenViews
from perception_tools.image.model import TrainedClassifier

NO_MASK = "they have no mask"
PATCH_RULE = (
    "A token is of the target where more than half of its pixels that count are; masks are brought to the model's "
    "picture by the nearest pixel, and cropped as the picture is. The class token is left out."
)


def picture_views(models: Sequence[TrainedClassifier], asked: Asked) -> TokenViews:
    """Pictures of a split, with masks of ImageNet-S, boxes or COCO (`perception_datasets.images.masks`).

    Raises:
        InputError: The pictures or the masks cannot be opened.
    """
    pictures = open_pictures(asked.data, asked.split, limit=asked.limit)
    masks = None if asked.masks is None else open_masks(asked.masks, asked.split)
    left_out, failures = Counter[str](), Failures()
    records = _records(models, pictures, masks, asked, left_out, failures)
    rules = () if masks is None else (f"{masks.rule}.", PATCH_RULE)
    return TokenViews("pictures", records, left_out, failures, rules)


def _records(
    models: Sequence[TrainedClassifier],
    pictures: Pictures,
    masks: Masks | None,
    asked: Asked,
    left_out: Counter[str],
    failures: Failures,
) -> Iterator[tuple[TokenView, ...]]:
    for record, picture in pictures.read_all(failures.add):
        mask = None
        try:
            if masks is not None:
                mask = masks.read(record, *picture.pixels.shape[:2])
                if mask is None:
                    left_out[NO_MASK] += 1
                    continue
            yield tuple(_view(one.model, picture, mask, asked) for one in models)
        except InputError as error:  # of a mask, or of a picture that is too long and narrow
            failures.add(record.id, RecordError(str(error)))


def _view(model: ImageClassifier, picture: Picture, mask: PictureMask | None, asked: Asked) -> TokenView:
    device = next(model.parameters()).device
    images = model.collate([model.prepare(picture)]).to(device)
    seen = read_stages(model, images, asked.inside)
    patch = model.encoder.patch
    grid = images.shape[-2] // patch, images.shape[-1] // patch
    target, counted, shown = None, np.ones(grid[0] * grid[1], bool), None
    if mask is not None:
        shown = model.input.cropped_mask(mask.target)
        target, counted = grid_targets(shown, model.input.cropped_mask(mask.counted), grid)
    of_block = seen.block.attention is not None
    return TokenView(
        id=picture.id,
        stages={name: _patches(value[0]) for name, value in seen.block.named().items()},
        attention=seen.cls_attention[0].sum(0)[1:].double().cpu().numpy(),
        attention_stage="attention" if of_block else "encoder",
        target=target,
        counted=counted,
        priors={"a box in the middle": centre_prior(grid)},
        draw=partial(draw_patches, model.input.cropped(picture), shown, grid),
    )


def _patches(values: Float[torch.Tensor, "tokens width"]) -> Float[np.ndarray, "patches width"]:
    """Features without those of the class token."""
    return values[1:].double().cpu().numpy()
