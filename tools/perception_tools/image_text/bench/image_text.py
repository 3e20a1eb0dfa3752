"""Training with a block and without, and ranking of captions beside METER's loop and other fusions, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from perception.errors import InputError
from perception_tools.bench.taking_turns import Timing, Work, compare, make_training, peak_megabytes
from perception_tools.image_text.recipes import RETRIEVAL, VQA, ImageTextRecipe
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine
from perception_tools.training.recipes import BlockRecipe

if TYPE_CHECKING:
    from perception.models.image_text import ImageText

ANSWERS = 3129
SIZES = {"base": 768, "small": 256, "micro": 64}
"""Name of a size → width of towers and fusion; the depths are METER's, of micro a third."""
_HEAD = 64
_WORDS = 1000
_CAPTION = (12.0, 4.0)
"""Mean and standard deviation of the number of words of a caption, about those of Flickr's."""


def bench_image_text(
    json: Path | None = None,
    size: str = "base",
    block: str = "random:llama-7b",
    batch: int = 8,
    captions: int = 64,
    pairs: int = 64,
    repeat: int = 5,
    threads: int | None = None,
) -> list[Timing]:
    """Times training steps on questions with a block and without, and the ranking of captions for a picture.

    All take turns; the speed of a way is the first way's time over its own, so that above 1 is faster. The ranking
    stands beside METER's own loop, which puts each pair through the towers, a loop pair by pair, and two fusions of
    the transformers library, which get the towers' tokens for nothing. Weights are random, captions are as long as
    Flickr's, pictures have 224 pixels and patches of 32.

    Args:
        json: File for all numbers and the machine.
        size: Width of towers and fusion: base (768), small (256) or micro (64, a third as deep).
        block: URI of the block.
        batch: Number of questions in a training step.
        captions: Number of captions that are ranked for a picture.
        pairs: Number of pairs in one call of a fusion.
        repeat: Number of rounds.
        threads: PyTorch's; its own choice by default.
    """
    import torch

    if min(batch, captions, pairs, repeat) < 1:
        raise InputError("--batch, --captions, --pairs, --repeat: expected at least 1 of each; give positive numbers")
    if size not in SIZES:
        raise InputError(f"--size {size}: expected one of {', '.join(SIZES)}")
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    machine = describe_machine()
    print(f"METER's shape, {size}, block {block}; {machine['processor']}, {torch.get_num_threads()} threads")
    timings = [*_time_training(size, block, batch, repeat), *_time_ranking(size, block, captions, pairs, repeat)]
    if json:
        write_json(json, {"machine": machine, "timings": [asdict(timing) for timing in timings]})
    return timings


def _time_training(size: str, block: str, batch: int, repeat: int) -> list[Timing]:
    import torch

    from perception.losses.answer import answer_loss

    blocks = {
        "without a block": None,
        "with the block": BlockRecipe(source=block),
        "with the block in bfloat16": BlockRecipe(source=block, dtype="bfloat16"),
    }
    images, scores = torch.randn(batch, 3, VQA.picture, VQA.picture), torch.zeros(batch, ANSWERS)
    scores[:, 0] = 1.0
    ways = {}
    for way, of in blocks.items():
        model = make_model(sized(VQA, size), of, ANSWERS)
        texts = model.text.batch(make_captions(batch))
        ways[way] = make_training(model, lambda model=model, texts=texts: answer_loss(model(images, texts), scores))
    return compare("training", ways, batch, repeat, {way: peak_megabytes(step) for way, step in ways.items()})


def _time_ranking(size: str, block: str, captions: int, pairs: int, repeat: int) -> list[Timing]:
    import torch

    from perception_tools.image_text.bench.other_fusions import (
        BridgeTowerFusion,
        ViltFusion,
        run_fusion,
        score_like_meter,
    )
    from perception_tools.image_text.ranking import encode_captions, score_row

    recipe, texts = sized(RETRIEVAL, size), make_captions(captions)
    model = make_model(recipe, BlockRecipe(source=block), 0).eval()
    image = torch.randn(3, recipe.picture, recipe.picture)
    with torch.inference_mode():
        seen = model.encode_image(image[None]).values[0]
    words = encode_captions(model, texts, pairs)
    bridge = BridgeTowerFusion(recipe.dim, recipe.heads, recipe.layers).eval()
    vilt = ViltFusion(recipe.dim, recipe.heads).eval()
    ways = {
        "METER's loop, towers for each pair": Work(lambda: score_like_meter(model, image, texts, pairs)),
        "the same, pair by pair": Work(lambda: score_like_meter(model, image, texts, 1)),
        "ours": Work(lambda: score_row(model, seen, words, pairs)),
        "transformers, BridgeTower's fusion": Work(lambda: run_fusion(bridge, seen, words, pairs)),
        "transformers, ViLT's encoder": Work(lambda: run_fusion(vilt, seen, words, pairs)),
    }
    expected, found = score_like_meter(model, image, texts, pairs).numpy(), score_row(model, seen, words, pairs)
    print(f"  largest difference between METER's loop and ours: {np.abs(expected - found).max():.1e}")
    return compare("ranking", ways, captions, repeat, {way: peak_megabytes(work) for way, work in ways.items()})


def sized(recipe: ImageTextRecipe, size: str) -> ImageTextRecipe:
    """A recipe of the paper in another width."""
    dim = SIZES[size]
    names = [f"{part}{name}" for part in ("", "image_", "text_") for name in ("dim", "heads")]
    changes = dict(zip(names, [dim, max(dim // _HEAD, 2)] * 3, strict=True))
    if size == "micro":
        changes |= {"image_depth": 4, "text_depth": 4, "layers": 2, "picture": 64}
    return replace(recipe, **changes)


def make_model(recipe: ImageTextRecipe, block: BlockRecipe | None, answers: int) -> ImageText:
    """The model of a recipe with the words of `make_captions`; without a block where there is none."""
    from perception.texts.tokenizer import WordTokenizer
    from perception_tools.image_text.model import build_image_text

    recipe = replace(recipe, block=BlockRecipe(kind="none") if block is None else block)
    return build_image_text(recipe, WordTokenizer([f"w{number}" for number in range(_WORDS)]), answers)


def make_captions(count: int) -> Sequence[str]:
    """Captions of made words, as long as Flickr's."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.normal(*_CAPTION, count).round(), 3, None).astype(int)
    return [" ".join(f"w{number}" for number in rng.integers(_WORDS, size=length)) for length in lengths]
