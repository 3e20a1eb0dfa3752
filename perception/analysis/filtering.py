"""What an encoder's tokens single out, and how well that agrees with where the target is.

Information filtering (Pang et al., ICLR 2024, §6 and §A.3, §A.5): the frozen block is said to find the informative
tokens and to amplify them. A token's activation is how far it lies from the mean of all tokens of its record. Cut off
at a threshold, the activations are a pseudo-mask of the record, which is compared with a mask by a person.

Nothing here knows pictures: a record is a set of tokens, whatever they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from perception.metrics.bootstrap import bootstrap_interval

Kind = Literal["magnitude", "frequency", "attention"]
THRESHOLDS = tuple(step / 10 for step in range(1, 10))
"""Where activations are cut, from 0.1 to 0.9 (§A.3)."""


def magnitude(features: Float[np.ndarray, "tokens width"]) -> Float[np.ndarray, " tokens"]:
    """Returns the distance of each token from the mean of all tokens, ‖x_i − mean_j x_j‖₂ (§A.5)."""
    wide = np.asarray(features, np.float64)
    return np.linalg.norm(wide - wide.mean(axis=0), axis=1)


def frequency(features: Float[np.ndarray, "tokens width"]) -> Float[np.ndarray, " tokens"]:
    """Returns the same distance between phases, ‖∠FFT(x_i) − mean_j ∠FFT(x_j)‖₂, with the FFT over channels (§A.5).

    The text takes the mean over all tokens of the picture, and so does this. The pseudo-code that is printed beside it
    is given [height, width, channels] and takes the mean over the first axis only, which is one for each column of
    patches. Phases are not unwrapped, in the paper and here: they jump by 2π at ±π.
    """
    wide = np.asarray(features, np.float64)
    width = wide.shape[1]
    phases = np.angle(np.fft.rfft(wide, axis=1))
    squared = (phases - phases.mean(axis=0)) ** 2
    # The other half of a real signal's spectrum has the opposite phases, which lie as far from their mean.
    times = np.full(squared.shape[1], 2.0)
    times[0] = 1.0
    if width % 2 == 0:
        times[-1] = 1.0
    return np.sqrt(squared @ times)


def scaled(values: Float[np.ndarray, " tokens"]) -> Float[np.ndarray, " tokens"]:
    """Returns values stretched from 0 to 1 within their record; all 0 where they are equal, so that none stands out."""
    wide = np.asarray(values, np.float64)
    low, high = wide.min(initial=np.inf), wide.max(initial=-np.inf)
    return (wide - low) / (high - low) if high > low else np.zeros_like(wide)


def threshold_ious(
    activations: Float[np.ndarray, " tokens"],
    target: Bool[np.ndarray, " tokens"],
    counted: Bool[np.ndarray, " tokens"] | None = None,
) -> Float[np.ndarray, " thresholds"]:
    """Returns the IoU of the pseudo-mask above each of `THRESHOLDS` with the target.

    Args:
        activations: From 0 to 1, see `scaled`.
        target: Tokens of the target; at least one that counts.
        counted: Tokens that count; all by default.
    """
    if counted is not None:
        activations, target = activations[counted], target[counted]
    if not target.any():
        raise ValueError("threshold_ious: expected a token of the target that counts, got none; leave the record out")
    found = activations > np.array(THRESHOLDS)[:, None]
    return (found & target).sum(1) / (found | target).sum(1)


def grid_targets(
    target: Bool[np.ndarray, "height width"], counted: Bool[np.ndarray, "height width"], grid: tuple[int, int]
) -> tuple[Bool[np.ndarray, " tokens"], Bool[np.ndarray, " tokens"]]:
    """Returns which patches are of the target, and which count, row by row.

    A patch is of the target where more than half of its pixels that count are. (The paper does not say how its masks
    were brought to the grid.) A patch of which no pixel counts does not count.

    Args:
        target: Pixels of the target.
        counted: Pixels that count; the others are left out of the measure, as those of ImageNet-S's id 1000.
        grid: Rows and columns of patches, which divide height and width.
    """
    pixels = np.stack([target & counted, counted])
    rows, columns = grid
    _, height, width = pixels.shape
    if height % rows or width % columns:
        raise ValueError(f"grid_targets: expected a grid that divides {height} × {width} pixels, got {grid}")
    patches = pixels.reshape(2, rows, height // rows, columns, width // columns).sum(axis=(2, 4)).reshape(2, -1)
    return 2 * patches[0] > patches[1], patches[1] > 0


def centre_prior(grid: tuple[int, int]) -> Float[np.ndarray, " tokens"]:
    """Returns activations that know nothing of the picture: above threshold t they are a box of 1 − t of each side.

    People photograph what they mean in the middle, so this is what a mIoU must be compared with.
    """
    rows, columns = (1 - np.abs((np.arange(count) + 0.5) / count - 0.5) * 2 for count in grid)
    return np.minimum(rows[:, None], columns[None]).ravel()


@dataclass(frozen=True)
class FilteringScore:
    """Agreement with the targets, over records.

    Attributes:
        miou: Mean over records of the best IoU over `THRESHOLDS`, as in the paper. The threshold is chosen for each
            record by its target (an oracle), so chance is well above 0.
        interval: Its 95 % bootstrap interval over records.
        fixed_threshold: The one threshold with the highest mean IoU.
        fixed_miou: Mean IoU at that threshold, which a user without targets could have; one number is fitted.
        fixed_interval: Its interval.
        sweep: Mean IoU at each threshold.
    """

    miou: float
    interval: tuple[float, float]
    fixed_threshold: float
    fixed_miou: float
    fixed_interval: tuple[float, float]
    sweep: tuple[float, ...]


def filtering_score(ious: Float[np.ndarray, "records thresholds"], seed: int = 0) -> FilteringScore:
    """Returns the score of at least one record's `threshold_ious`."""
    means = ious.mean(axis=0)
    at = int(means.argmax())
    columns = np.column_stack([ious.max(axis=1), ious[:, at]])
    low, high = bootstrap_interval(columns, seed)
    best, fixed = columns.mean(axis=0).tolist()
    return FilteringScore(
        miou=best,
        interval=(float(low[0]), float(high[0])),
        fixed_threshold=THRESHOLDS[at],
        fixed_miou=fixed,
        fixed_interval=(float(low[1]), float(high[1])),
        sweep=tuple(means.tolist()),
    )
