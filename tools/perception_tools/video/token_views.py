"""Cubes of a clip as tokens, for whoever looks at what the block makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from PIL import Image

from perception.clips.clip import Clip
from perception.clips.sampling import middle_images
from perception.errors import InputError
from perception.frozen.block import EVERY_ROW
from perception.frozen.stages import block_attention, block_stages, expect_adapter, noted_inputs
from perception.models.action_recognizer import ActionRecognizer
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_datasets.errors import Failures, RecordError
from perception_datasets.video.open_videos import open_videos
from perception_datasets.video.records import VideoRecord, Videos
from perception_tools.analysis.filtering.pictures import heat_over
from perception_tools.analysis.filtering.views import Asked, TokenView, TokenViews
from perception_tools.video.data import ClipReader, ordered
from perception_tools.video.model import TrainedRecognizer

DRAWN_TIMES = 4
"""Maximum number of pictures that are drawn of a clip, side by side."""
DRAWN_PIXELS = 72
"""Maximum side of a drawn picture: a page holds some hundred clips."""
GAP_PIXELS = 4
"""Between two drawn pictures."""
PANEL_INCHES = 0.62
"""Width and height of a drawn picture."""
RULE = (
    "A token is a cube: a patch over a few pictures. "
    f"Of a clip at most {DRAWN_TIMES} times are drawn, from the earliest at the left, each with the first picture of "
    "its cubes; the colours are over all cubes of the clip. Clips have no targets, so nothing says whether "
    "what stands out is what matters. “Where it looks” is where all cubes together look, since the head reads the mean "
    "of them."
)


def clip_views(models: Sequence[TrainedRecognizer], asked: Asked) -> TokenViews:
    """Clips of a split, the middle in space and time of each.

    Raises:
        InputError: The videos cannot be opened, or a model is one of pre-training.
    """
    if asked.masks is not None:
        raise InputError(f"--masks {asked.masks}: clips have no targets; leave it out")
    for one in models:
        if isinstance(one.model, MaskedAutoencoder):
            raise InputError(f"{one.name}: expected a model that recognises actions, got one of pre-training")
    first, failures = models[0], Failures()
    of = first.training
    videos = open_videos(
        asked.data, asked.split, classes=first.classes, labels=of.labels, where=of.where, limit=asked.limit
    )
    return TokenViews("clips", _records(models, videos, asked, failures), failures=failures, rules=(RULE,))


def _records(
    models: Sequence[TrainedRecognizer], videos: Videos, asked: Asked, failures: Failures
) -> Iterator[tuple[TokenView, ...]]:
    readers = [ClipReader(videos, one.recipe.shorter_side) for one in models]
    for record in videos:
        try:
            clips = [_read(one, reader, record) for one, reader in zip(models, readers, strict=True)]
            yield tuple(_view(one.recognizer, clip, asked) for one, clip in zip(models, clips, strict=True))
        except InputError as error:  # of the reader, or of images that are too long and narrow
            failures.add(record.id, RecordError(str(error)))


def _read(model: TrainedRecognizer, reader: ClipReader, record: VideoRecord) -> Clip:
    """The images that a model sees, in the order in which it sees them."""
    recipe = model.recipe
    return reader.read(record, lambda length: ordered(middle_images(length, recipe.images), recipe.order, record.id))


@torch.no_grad()
def _view(model: ActionRecognizer, clip: Clip, asked: Asked) -> TokenView:
    adapter = expect_adapter(model.block)
    squares = model.input.middle(clip)
    shown = model.collate([model.input.normalised(squares)]).to(next(model.parameters()).device)
    with noted_inputs(adapter) as given:
        model(shown)
    (tokens,) = given
    stages = block_stages(adapter, tokens, asked.inside).named()
    looks = block_attention(adapter, tokens, EVERY_ROW)
    times, rows, columns = model.encoder.grid
    chosen = middle_images(times, min(times, DRAWN_TIMES))
    pictures = squares.permute(0, 2, 3, 1).numpy()[chosen * model.encoder.tubelet]
    return TokenView(
        id=clip.id,
        stages={name: value[0].double().cpu().numpy() for name, value in stages.items()},
        attention=None if looks is None else looks[0].mean(1).sum(0).double().cpu().numpy(),
        attention_stage="attention",
        target=None,
        counted=np.ones(times * rows * columns, bool),
        priors={},
        draw=partial(_draw, pictures, chosen, (times, rows, columns)),
        inches=(PANEL_INCHES * len(chosen), PANEL_INCHES),
    )


def _draw(
    pictures: UInt8[np.ndarray, "drawn size size 3"],
    chosen: np.ndarray,
    grid: tuple[int, int, int],
    axes: Axes,
    values: Float[np.ndarray, " cubes"] | None,
) -> None:
    """Pictures of a clip side by side, in grey under the colours of their cubes."""
    rows, columns = grid[1:]
    side = max(DRAWN_PIXELS // max(rows, columns), 1)
    small = [
        np.array(Image.fromarray(picture).resize((columns * side, rows * side), Image.Resampling.BOX))
        for picture in pictures
    ]
    if values is not None:
        small = [heat_over(one, heat) for one, heat in zip(small, values.reshape(grid)[chosen], strict=True)]
    gap = np.full((rows * side, GAP_PIXELS, 3), 255, np.uint8)
    parts = [part for one in small for part in (gap, one)][1:]
    axes.imshow(np.concatenate(parts, axis=1), interpolation="none")
