"""What a model answers to questions: with their pictures, without them, and with other questions' pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from perception.errors import InputError
from perception.tokens import Tokens
from perception_datasets.image_text.picture_files import PictureFiles
from perception_datasets.image_text.vqa import VqaQuestion
from perception_tools.image_text.model import TrainedImageText

Shown = Literal["as_asked", "without_picture", "shuffled_pictures"]
SHUFFLE_SEED = 0
Item = TypeVar("Item")


@dataclass
class PictureTokens:
    """Tokens of pictures, each computed once.

    Attributes:
        tokens: Name of a picture → its tokens; on the CPU.
        unread: Name → fault of those that could not be read.
    """

    tokens: dict[str, torch.Tensor] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


@torch.inference_mode()
def encode_pictures(
    trained: TrainedImageText, files: PictureFiles, names: Sequence[str], batch: int, title: str
) -> PictureTokens:
    """Encodes pictures; those that cannot be read are named.

    Raises:
        InputError: None can be read.
    """
    model, found = trained.model, PictureTokens()
    device = next(model.parameters()).device
    unique = list(dict.fromkeys(names))
    for start in tqdm(range(0, len(unique), batch), desc=f"{title}, pictures", leave=False):
        images = {}
        for name in unique[start : start + batch]:
            try:
                images[name] = model.prepare(files.decode(name))
            except InputError as error:
                found.unread[name] = str(error)
        if images:
            tokens = model.encode_image(torch.stack(list(images.values())).to(device)).values.cpu()
            found.tokens |= dict(zip(images, tokens, strict=True))
    if not found.tokens:
        raise InputError(
            f"{title}: expected pictures that can be read, found none: {next(iter(found.unread.values()))}"
        )
    return found


@torch.inference_mode()
def grey_tokens(trained: TrainedImageText) -> torch.Tensor:
    """Tokens of a picture of the mean colour, which stands for a picture that was removed."""
    model = trained.model
    image = torch.zeros(1, 3, model.input.height, model.input.width, device=next(model.parameters()).device)
    return model.encode_image(image).values[0].cpu()


@torch.inference_mode()
def predict_answers(
    trained: TrainedImageText,
    questions: Sequence[VqaQuestion],
    pictures: PictureTokens,
    *,
    shown: Shown = "as_asked",
    batch: int = 64,
    title: str = "questions",
) -> dict[int, str]:
    """The most likely answer to each question whose picture was read, by the question's id.

    Args:
        trained: The model.
        questions: The questions.
        pictures: Their pictures.
        shown: What is shown: each question's own picture, a grey one, or another picture of the split.
        batch: Number of questions in one call of the model.
        title: What the progress bar says.
    """
    model, head, answers = trained.model, trained.model.vqa_classifier, {}
    assert head is not None, "a model with answers"
    device = next(model.parameters()).device
    asked = [question for question in questions if question.image_file in pictures.tokens]
    of_question = _shown_pictures(trained, asked, pictures, shown)
    for start in tqdm(range(0, len(asked), batch), desc=title, leave=False):
        part = asked[start : start + batch]
        values = torch.stack([of_question(question) for question in part]).to(device)
        image = Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=device))
        text = model.encode_text(model.text.batch([question.question for question in part]))
        best = head(model.fuse(image, text)).argmax(1).tolist()
        answers |= {question.id: trained.answers[number] for question, number in zip(part, best, strict=True)}
    return answers


def _shown_pictures(
    trained: TrainedImageText, asked: Sequence[VqaQuestion], pictures: PictureTokens, shown: Shown
) -> Callable[[VqaQuestion], torch.Tensor]:
    if shown == "as_asked":
        return lambda question: pictures.tokens[question.image_file]
    if shown == "without_picture":
        grey = grey_tokens(trained)
        return lambda _question: grey
    names = sorted({question.image_file for question in asked})
    other = dict(zip(names, others_than_own(names), strict=True))
    return lambda question: pictures.tokens[other[question.image_file]]


def others_than_own(names: Sequence[Item]) -> list[Item]:
    """The names in a seeded order in which none is at its own place; the name itself where there is no other."""
    order = np.random.default_rng(SHUFFLE_SEED).permutation(len(names))
    following = np.empty(len(names), dtype=np.int64)
    following[order] = np.roll(order, 1)
    return [names[number] for number in following.tolist()]
