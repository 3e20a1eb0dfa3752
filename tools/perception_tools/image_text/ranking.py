"""Scores of pairs of a picture and a caption: towers once, the fusion for each pair, in parts, resumable."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from tqdm import tqdm

from perception.errors import InputError
from perception.files import whole_file, writing
from perception.frozen.trained_state import trainable_state_dict
from perception.models.image_text import ImageText
from perception.tokens import Tokens
from perception_tools.image_text.shortlist import Sample, approximate, choose_pairs, measure_loss, ranked

_PROJECT_AFTER_S = 5.0
"""Seconds of work after which the time for all pairs is said."""


@torch.inference_mode()
def encode_captions(model: ImageText, captions: Sequence[str], batch: int) -> list[torch.Tensor]:
    """Tokens of each caption without padding; on the CPU."""
    found = []
    for start in range(0, len(captions), batch):
        tokens = model.encode_text(model.text.batch(captions[start : start + batch]))
        found += [row[valid].cpu() for row, valid in zip(tokens.values, tokens.valid, strict=True)]
    return found


@torch.inference_mode()
def score_row(
    model: ImageText, picture: torch.Tensor, captions: Sequence[torch.Tensor], pairs: int
) -> Float32[np.ndarray, " captions"]:
    """How well a picture and each caption match.

    Captions of similar length are scored together, so that little padding is computed.

    Args:
        model: It ranks.
        picture: Its tokens.
        captions: Tokens of each caption.
        pairs: Maximum number of pairs in one call of the fusion, which bounds its memory.
    """
    device = next(model.parameters()).device
    row = np.empty(len(captions), dtype=np.float32)
    order = sorted(range(len(captions)), key=lambda number: len(captions[number]))
    seen = picture.to(device)[None]
    image = model.start(Tokens(seen, torch.ones(seen.shape[:2], dtype=torch.bool, device=device)))
    for start in range(0, len(order), pairs):
        chosen = order[start : start + pairs]
        values = torch.nn.utils.rnn.pad_sequence([captions[number] for number in chosen], batch_first=True)
        lengths = torch.tensor([len(captions[number]) for number in chosen])
        valid = torch.arange(values.shape[1]) < lengths.unsqueeze(1)
        fused = model.fuse_started(image.expand(len(chosen)), Tokens(values.to(device), valid.to(device)))
        row[chosen] = model.rank(fused).float().cpu().numpy()
    return row


def score_pairs(
    model: ImageText,
    pictures: Sequence[torch.Tensor],
    captions: Sequence[torch.Tensor],
    path: Path,
    *,
    pairs: int = 256,
    title: str = "pairs",
    say: Callable[[str], None] = print,
    wanted: Bool[np.ndarray, "pictures captions"] | None = None,
) -> Float32[np.ndarray, "pictures captions"]:
    """Scores pairs. What was scored before a stop is in the file and is not scored again.

    Args:
        model: It ranks.
        pictures: Tokens of each picture.
        captions: Tokens of each caption.
        path: File (.npy) that holds the scores so far, a picture after the other.
        pairs: Maximum number of pairs in one call of the fusion.
        title: What the progress bar says.
        say: Where to say how long it will take.
        wanted: The pairs to score; all by default. Others are not numbers unless they were scored before.

    Raises:
        InputError: The file is of another model or other data, or cannot be written.
    """
    shape = (len(pictures), len(captions))
    table = _open_table(path, shape, _fingerprint(model, pictures, captions))
    left = np.isnan(table) & (np.ones(shape, dtype=bool) if wanted is None else wanted)
    counts = left.sum(axis=1)
    begin_s, is_said, done = time.perf_counter(), False, 0
    for number in tqdm(np.flatnonzero(counts).tolist(), desc=title, leave=False):
        columns = np.flatnonzero(left[number]).tolist()
        table[number, columns] = score_row(model, pictures[number], [captions[i] for i in columns], pairs)
        table.flush()
        done += len(columns)
        passed_s, rest = time.perf_counter() - begin_s, int(counts.sum()) - done
        if not is_said and rest and passed_s > _PROJECT_AFTER_S:
            minutes = rest * passed_s / done / 60
            say(f"{title}: {done / passed_s:,.0f} pairs/s, about {minutes:,.1f} minutes for {rest:,} more pairs")
            is_said = True
    return np.array(table)


@dataclass(frozen=True)
class Ranked:
    """Scores of pairs for ranking.

    Attributes:
        table: Minus infinity where a pair is not on the shortlist.
        shortlist: What metrics.json says of the shortlist; None where every pair was scored.
    """

    table: Float32[np.ndarray, "pictures captions"]
    shortlist: dict | None


def score_shortlist(
    model: ImageText,
    pictures: Sequence[torch.Tensor],
    captions: Sequence[torch.Tensor],
    path: Path,
    picture_of: Int[np.ndarray, " captions"],
    count: int | None,
    **options: Any,
) -> Ranked:
    """Scores every pair, or the pairs on a shortlist, whose loss is measured on queries that are scored in full.

    Args:
        model: It ranks.
        pictures: Tokens of each picture.
        captions: Tokens of each caption.
        path: As in `score_pairs`, whose other options can be given too.
        picture_of: Number of each caption's picture.
        count: Number of pictures on each caption's shortlist; None scores every pair.
        options: Of `score_pairs`.
    """
    if count is None:
        return Ranked(score_pairs(model, pictures, captions, path, **options), None)
    shape = (len(pictures), len(captions))
    sample = Sample.draw(*shape, count)
    table = score_pairs(model, pictures, captions, path, **options, wanted=sample.mask(shape))
    chosen = choose_pairs(approximate(table, sample), count) | sample.known(shape)
    table = score_pairs(model, pictures, captions, path, **options, wanted=chosen)
    scored = int((chosen | sample.mask(shape)).sum())
    told = {"pictures": count, "scored": scored, "of": table.size}
    return Ranked(ranked(table, chosen), told | {"checked": measure_loss(table, chosen, sample, picture_of)})


def _open_table(path: Path, shape: tuple[int, int], fingerprint: str) -> np.memmap:
    """The table as it was left, or a new one whose rows are not numbers yet."""
    told = path.with_suffix(".json")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and told.exists():
            if json.loads(told.read_text()) != {"shape": list(shape), "fingerprint": fingerprint}:
                raise InputError(
                    f"{path}: expected scores of this model on these pictures and captions, found others; remove the "
                    "file, or choose another --out"
                )
            return np.lib.format.open_memmap(path, mode="r+")
        table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        table[:] = np.nan
        table.flush()
    with whole_file(told) as temporary:
        temporary.write_text(json.dumps({"shape": list(shape), "fingerprint": fingerprint}))
    return table


def _fingerprint(model: ImageText, pictures: Sequence[torch.Tensor], captions: Sequence[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    tensors = [*(value for _, value in sorted(trainable_state_dict(model).items())), *pictures, *captions]
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
