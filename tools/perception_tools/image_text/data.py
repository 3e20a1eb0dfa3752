"""Questions and captions with their pictures, as a model sees them in training and validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from perception.batches import TensorRecord
from perception.errors import InputError
from perception.metrics.vqa_accuracy import soft_scores
from perception.models.image_text import ImageText
from perception.texts.vocabulary import TextBatch
from perception_datasets.image_text.karpathy import CaptionedPicture, caption_file, read_captions
from perception_datasets.image_text.picture_files import PictureFiles, open_picture_files, warn_of_missing
from perception_datasets.image_text.vqa import VqaQuestion, question_files, read_questions
from perception_tools.training.augmentation import rand_augment, seeded
from perception_tools.training.loaders import KeptRecords
from perception_tools.training.readable import Faults, first_readable
from perception_tools.training.sampler import Key

KEPT_BYTES = 1 << 30
"""Maximum size of the prepared pictures that a reading process keeps, together."""
Record = TypeVar("Record", VqaQuestion, CaptionedPicture)


@dataclass(frozen=True)
class ImageTextBatch(TensorRecord):
    """Pictures and their texts.

    Attributes:
        images: Normalised pixels.
        texts: One question for each picture, or `1 + false captions` for each, the true one first.
        scores: What each answer to each question is worth; without columns for captions.
        unread: Name and fault of the pictures that should have stood here and could not be decoded.
    """

    images: Float32[Tensor, "batch 3 height width"]
    texts: TextBatch
    scores: Float32[Tensor, "batch answers"]
    unread: Faults = ()


@dataclass(frozen=True)
class Shown:
    """A picture with its texts as it enters a batch.

    Attributes:
        image: Normalised pixels; None if the picture could not be read.
        texts: Its question, or captions with the true one first.
        scores: Score of each known answer that an annotator gave, by class.
        unread: Names and faults of pictures that could not be decoded.
    """

    image: Float32[Tensor, "3 height width"] | None
    texts: tuple[str, ...]
    scores: dict[int, float]
    unread: Faults = ()


@dataclass(frozen=True)
class Split(Generic[Record]):
    """Records of a split whose pictures are there.

    Attributes:
        records: Questions, or pictures with captions.
        files: The pictures.
        missing: Names of pictures that are not there.
        note: What to say of them; empty if all are there.
    """

    records: tuple[Record, ...]
    files: PictureFiles
    missing: tuple[str, ...]
    note: str


AnySplit = Split[VqaQuestion] | Split[CaptionedPicture]
"""Of questions, or of captions."""


def picture_of(record: VqaQuestion | CaptionedPicture) -> str:
    """Name of the file of a record's picture."""
    return record.image_file if isinstance(record, VqaQuestion) else record.file


def open_questions(data: Path, split: str, pictures: Path | None, limit: int | None) -> Split[VqaQuestion]:
    """The annotated questions of a split.

    Raises:
        InputError: Files cannot be used, or no picture is there.
    """
    return _with_pictures(tuple(read_questions(*question_files(data, split))), data, pictures, limit)


def open_captions(data: Path, split: str, pictures: Path | None, limit: int | None) -> Split[CaptionedPicture]:
    """The captioned pictures of a split.

    Raises:
        InputError: Files cannot be used, or no picture is there.
    """
    return _with_pictures(tuple(read_captions(caption_file(data), split)), data, pictures, limit)


def _with_pictures(records: tuple[Record, ...], data: Path, pictures: Path | None, limit: int | None) -> Split[Record]:
    files = open_picture_files(pictures or data)
    names = [picture_of(record) for record in records]
    missing = files.missing(names)
    known = tuple(record for record, name in zip(records, names, strict=True) if name in files)[:limit]
    note = warn_of_missing(missing, len(set(names)))
    if not known:
        raise InputError(
            f"{pictures or data}: expected the pictures of the records, found none; {note}; give --pictures"
        )
    return Split(known, files, tuple(missing), note)


class ShownTexts(Dataset[Shown]):
    """Records of a split as a model is shown them; what is random is a function of seed, pass and record.

    In training a record whose picture cannot be decoded is replaced by the next one, and named.

    Args:
        split: Its records.
        model: Whose input prepares pictures.
        answers: Known answers.
        false_captions: Number of captions of other pictures beside a true one.
        seed: Seed of the choice of captions and of changes of pictures.
        auto_augment: timm's string of the RandAugment of training pictures; empty for none.

    Raises:
        InputError: timm does not know that RandAugment.
    """

    def __init__(
        self,
        split: AnySplit,
        model: ImageText,
        *,
        answers: Sequence[str] = (),
        false_captions: int = 15,
        seed: int = 0,
        auto_augment: str = "",
    ) -> None:
        self._change = rand_augment(auto_augment) if auto_augment else None
        self._split, self._false_captions, self._seed = split, false_captions, seed
        self._class_of = {answer: number for number, answer in enumerate(answers)}
        self._input = model.input
        self._images = KeptRecords(self._prepared, KEPT_BYTES, _bytes_of)

    def __len__(self) -> int:
        return len(self._split.records)

    def __getitem__(self, key: Key | int) -> Shown:
        """A record.

        Raises:
            InputError: In training, its picture and those of the records after it cannot be decoded.
        """
        if not isinstance(key, Key):
            try:
                return self._shown(key, 0, self._image(key))
            except InputError as error:
                return Shown(None, (), {}, ((self._name(key), str(error)),))

        def show(index: int) -> Float32[Tensor, "3 height width"]:
            if self._change is None:
                return self._image(index)
            return self._changed(self._name(index), self._change, (self._seed, key.data_pass, index))

        found = first_readable(show, key.index, len(self), self._name, "pictures")
        return self._shown(found.index, key.data_pass, found.value, found.unread)

    def _name(self, index: int) -> str:
        return picture_of(self._split.records[index])

    def _image(self, index: int) -> Float32[Tensor, "3 height width"]:
        return self._images[self._name(index)]

    def _prepared(self, name: str) -> Float32[Tensor, "3 height width"]:
        return self._input.prepare(self._split.files.decode(name))

    def _changed(
        self, name: str, change: Callable[[Image.Image], Image.Image], seed: tuple[int, ...]
    ) -> Float32[Tensor, "3 height width"]:
        picture = self._split.files.decode(name)
        with seeded(int(np.random.SeedSequence(seed).generate_state(1)[0])):
            pixels = np.array(change(Image.fromarray(picture.pixels)))
        return self._input.prepare(replace(picture, pixels=pixels))

    def _shown(self, index: int, data_pass: int, image: Tensor, unread: Faults = ()) -> Shown:
        record = self._split.records[index]
        if isinstance(record, VqaQuestion):
            worth = soft_scores(record.answers)
            known = {self._class_of[answer]: of for answer, of in worth.items() if answer in self._class_of}
            return Shown(image, (record.question,), known, unread)
        rng = np.random.default_rng((self._seed, data_pass, index))
        true = record.captions[rng.integers(len(record.captions))]
        others = rng.choice(len(self) - 1, self._false_captions, replace=len(self) <= self._false_captions)
        false = []
        for other in (int(number) + (number >= index) for number in others):
            captions = self._split.records[other].captions  # pyright: ignore[reportAttributeAccessIssue]
            false.append(captions[rng.integers(len(captions))])
        return Shown(image, (true, *false), {}, unread)


def _bytes_of(image: Tensor) -> int:
    return image.nbytes


class Collator:
    """Puts what is shown side by side, without what could not be read; there may be none.

    Args:
        model: Whose tokenizer and input size are used.
        answers: Number of answers.
    """

    def __init__(self, model: ImageText, answers: int) -> None:
        self._tokenizer, self._longest, self._side = model.text.tokenizer, model.text.longest, model.input.height
        self._answers = answers

    def __call__(self, shown: Sequence[Shown]) -> ImageTextBatch:
        """A batch."""
        known = [one for one in shown if one.image is not None]
        images = [one.image for one in known if one.image is not None]
        scores = torch.zeros(len(known), self._answers)
        for row, one in enumerate(known):
            for number, worth in one.scores.items():
                scores[row, number] = worth
        texts = self._tokenizer.encode([text for one in known for text in one.texts], self._longest)
        stacked = torch.stack(images) if images else torch.zeros(0, 3, self._side, self._side)
        return ImageTextBatch(stacked, texts, scores, tuple(fault for one in shown for fault in one.unread))


def answerable(split: Split[VqaQuestion], answers: Sequence[str]) -> Split[VqaQuestion]:
    """The questions to which an annotator gave a known answer; METER drops the others from training.

    Raises:
        InputError: There is none.
    """
    known = set(answers)
    kept = tuple(of for of in split.records if known & set(of.answers))
    if not kept:
        raise InputError("training questions: expected some with a known answer, found none; lower --answers-at-least")
    return replace(split, records=kept)
