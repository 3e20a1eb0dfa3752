"""What the exported file of a model of pictures with texts is, and pairs that tell whether it is right."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from perception.images.image import Picture
from perception.models.image_text import ImageText, PairBatch
from perception.texts.tokenizer import WordTokenizer
from perception.texts.vocabulary import TextBatch
from perception.tokens import Tokens
from perception_nodes.exported.runtimes import Runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.image_text.model import ImageTextTraining, TrainedImageText, build_image_text
from perception_tools.image_text.recipes import RECIPES

MANY = 17
RECIPE = "image-text/vqa-micro-llama"
ANSWERS = 3_129
WORDS = "is it the a of what color how many red green blue yes no there on and man woman dog".split()


@dataclass(frozen=True)
class StartedPixels:
    """Pixels where a trained model has what its fusion computes of a picture alone.

    Attributes:
        tokens: From `ExportedImageText.encode_image`.
    """

    tokens: Tokens

    def expand(self, batch: int) -> StartedPixels:
        """Returns one picture for `batch` texts; no memory is copied."""
        values, valid = self.tokens.values, self.tokens.valid
        return StartedPixels(Tokens(values.expand(batch, *values.shape[1:]), valid.expand(batch, *valid.shape[1:])))


class ExportedImageText(nn.Module):
    """A model that a runtime computes, as evaluation calls the trained one.

    The towers are in the graph. What evaluation takes for the tokens of a picture are its pixels here, and for those of
    a text the numbers of its words; a call of the fusion computes everything.

    Args:
        runtime: The graph.
        model: Shows pictures and texts to it.
    """

    def __init__(self, runtime: Runtime, model: ImageText) -> None:
        super().__init__()
        self.runtime, self.input, self.text = runtime, model.input, model.text
        self.vqa_classifier = None if model.vqa_classifier is None else nn.Identity()
        self.device_of = nn.Parameter(torch.zeros(0))

    def prepare(self, picture: Picture) -> Float32[Tensor, "3 height width"]:
        """Pixels as the tower reads them."""
        return self.input.prepare(picture)

    def encode_image(self, images: Float32[Tensor, "batch 3 height width"]) -> Tokens:
        """The pixels, colour by colour."""
        return Tokens(images.flatten(2), torch.ones(images.shape[:2], dtype=torch.bool))

    def encode_text(self, texts: TextBatch) -> Tokens:
        """The numbers of the words."""
        return Tokens(texts.ids.float().unsqueeze(-1), texts.valid)

    def start(self, image: Tokens) -> StartedPixels:
        """The pixels: nothing is computed before the graph."""
        return StartedPixels(image)

    def fuse_started(self, image: StartedPixels, text: Tokens) -> Float32[Tensor, "*pairs"]:
        """As `fuse`, from what `start` gives."""
        return self.fuse(image.tokens, text)

    def fuse(self, image: Tokens, text: Tokens) -> Float32[Tensor, "*pairs"]:
        """What the graph gives for each pair."""
        images = image.values.unflatten(2, (self.input.height, self.input.width))
        ids = text.values.squeeze(-1).long()
        arrays = {"images": images, "texts_ids": ids, "texts_valid": text.valid}
        answer = self.runtime.run({name: tensor.contiguous().numpy() for name, tensor in arrays.items()})
        return torch.from_numpy(next(iter(answer.values())))

    def rank(self, fused: Float32[Tensor, " batch"]) -> Float32[Tensor, " batch"]:
        """How well each pair matches."""
        return fused


def untrained(block: str, recipe_name: str | None = None) -> TrainedImageText:
    """The model of a recipe with a block, as it is before training, for a few words."""
    name = recipe_name or RECIPE
    recipe = RECIPES[name].with_source(block)
    answers = tuple(f"answer{number}" for number in range(ANSWERS)) if recipe.goal == "vqa" else ()
    model = build_image_text(recipe, WordTokenizer(WORDS), len(answers)).eval()
    return TrainedImageText(model, recipe, answers, ImageTextTraining(name, "", 0, 0))


def exportable(trained: TrainedImageText) -> Exportable:
    """A trained model, folded, with random pictures: texts of one word, of none, as long as can be, and padded ones."""
    model, answers = trained.model.folded(), bool(trained.answers)
    side = {"height": trained.model.input.height, "width": trained.model.input.width}
    longest = " ".join(WORDS * 10)

    def batch(*texts: str) -> PairBatch:
        generator = torch.Generator().manual_seed(len(texts))
        pictures = [torch.randn(3, *side.values(), generator=generator) for _ in texts]
        return trained.model.collate(pictures, texts)

    return Exportable(
        source=GraphSource(
            model, _answer if answers else _score, output_name="logits" if answers else "scores", fixed_axes=side
        ),
        cases=lambda: {
            "two pairs": batch("what color is the dog", "is it red"),
            "one pair with a text of one word": batch("red"),
            f"{MANY} pairs": batch(*(" ".join(WORDS[:number]) for number in range(3, MANY + 3))),
            "the longest text beside an empty one": batch(longest, ""),
        },
        timed=("one pair with a text of one word", f"{MANY} pairs"),
        metadata={
            "recipe": trained.recipe.to_json(),
            "training": asdict(trained.training),
            "answers": list(trained.answers),
            "tokenizer": trained.model.text.tokenizer.to_json(),
            "picture": asdict(trained.model.input),
            "inputs": {
                "images": "RGB, resized and cropped as `picture` says, then normalised by its mean and std",
                "texts_ids": "numbers of the tokens of each picture's text, by `tokenizer`",
                "texts_valid": "false for padding behind a text",
            },
            "outputs": {"logits": "one for each of `answers`; each sigmoid is the probability to be right"}
            if answers
            else {"scores": "how well each picture and its text match; larger is better"},
        },
        serve=lambda runtime: ExportedImageText(runtime, trained.model),
    )


def _answer(model: Any, batch: PairBatch) -> Float[Tensor, "pairs answers"]:
    return model(batch.images, batch.texts)


def _score(model: Any, batch: PairBatch) -> Float[Tensor, " pairs"]:
    return model.rank(model.fuse(model.encode_image(batch.images), model.encode_text(batch.texts)))
