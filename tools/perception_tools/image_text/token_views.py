"""Pictures as patches beside their questions, for whoever looks at what the block makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from perception.analysis.filtering import centre_prior
from perception.errors import InputError
from perception.images.image import Picture
from perception.models.image_text import ImageText
from perception.models.image_text_stages import read_pair_stages
from perception_datasets.errors import Failures, RecordError
from perception_tools.analysis.filtering.pictures import draw_patches
from perception_tools.analysis.filtering.views import Asked, TokenView, TokenViews
from perception_tools.image_text.data import open_questions
from perception_tools.image_text.model import TrainedImageText

RULE = (
    "A token is a patch of a question's picture behind the fusion; the class token is left out. “Where it looks” is "
    "the attention of the question's first row to the picture in the last layer of the fusion."
)


def question_views(models: Sequence[TrainedImageText], asked: Asked) -> TokenViews:
    """The questions of a split, each with its picture; it is not known where their answers lie.

    Raises:
        InputError: The data cannot be opened, or a model does not answer questions.
    """
    if asked.masks is not None:
        raise InputError(f"--masks {asked.masks}: where the answer to a question lies is not known; leave it out")
    for one in models:
        if one.recipe.goal != "vqa":
            raise InputError(f"{one.name}: expected a model that answers questions, got one that ranks captions")
    failures = Failures()
    return TokenViews("questions", _records(models, asked, failures), failures=failures, rules=(RULE,))


def _records(models: Sequence[TrainedImageText], asked: Asked, failures: Failures) -> Iterator[tuple[TokenView, ...]]:
    split = open_questions(asked.data, asked.split, None, asked.limit)
    for question in split.records:
        try:
            picture = split.files.decode(question.image_file)
            name = f"{question.id}: {question.question}"
            yield tuple(question_view(one.model, picture, question.question, name, asked) for one in models)
        except InputError as error:
            failures.add(str(question.id), RecordError(str(error)))


def question_view(model: ImageText, picture: Picture, question: str, name: str, asked: Asked) -> TokenView:
    """A picture and a question as a model sees them.

    Args:
        model: It answers.
        picture: The picture.
        question: The question.
        name: What to call both.
        asked: What stands for a part of the block.
    """
    batch = model.collate([model.prepare(picture)], [question]).to(next(model.parameters()).device)
    seen = read_pair_stages(model, batch.images, batch.texts, asked.inside)
    rows, columns = (side // model.image.patch for side in batch.images.shape[-2:])
    return TokenView(
        id=name,
        stages={stage: value[0, 1:].double().cpu().numpy() for stage, value in seen.block.named().items()},
        attention=seen.text_attention[0].sum(0)[1:].double().cpu().numpy(),
        attention_stage="encoder",
        target=None,
        counted=np.ones(rows * columns, bool),
        priors={"a box in the middle": centre_prior((rows, columns))},
        draw=partial(draw_patches, model.input.cropped(picture), None, (rows, columns)),
    )
