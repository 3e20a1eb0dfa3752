"""What training a model of pictures with texts is told. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from typing_extensions import override

from perception_tools.image_text.recipes import ImageTextRecipe
from perception_tools.output_places import keep_apart
from perception_tools.training.run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class ImageTextRun(TrainingRun):
    """Train a model of pictures with texts.

    Attributes:
        data: Folder with VQAv2's questions and annotations, or with a dataset_*.json of captions.
        pictures: Folder or archive of the pictures; by default they are looked for in `data`, in its subfolders and
            in tar archives in it.
        image_tower: CLIP: a folder in the hub's layout (safetensors), or a name on huggingface.co such as
            openai/clip-vit-base-patch32. Its size takes the place of the recipe's; its last layer is not used.
        text_tower: RoBERTa and its tokenizer: a folder, or a name such as FacebookAI/roberta-base. Without it the words
            of the training texts are the tokens.
        start_from: METER's checkpoint (.ckpt); heads of other answers are left out.
        answers: JSON list of answers, or {answer: class}, in place of those that the training questions give.
        limit: Train on this many of the first questions or pictures only.
        val_limit: Validate on this many of the first questions or pictures only.
        keep: Not used: each reading process keeps prepared pictures up to a GiB.
    """

    recipe: tyro.conf.OmitArgPrefixes[ImageTextRecipe]
    pictures: Path | None = None
    image_tower: str | None = None
    text_tower: str | None = None
    start_from: Path | None = None
    answers: Path | None = None
    keep: tyro.conf.Suppress[int] = 0

    @override
    def check(self) -> None:
        """As in `TrainingRun`; nothing is written over what is read."""
        super().check()
        keep_apart([self.out], [Path(place) for place in self._places().values() if place is not None])

    @override
    def describe(self) -> dict:
        """What makes it this run and no other, as run.json holds it."""
        named = {
            name: str(Path(place).resolve()) if place is not None and Path(place).exists() else place and str(place)
            for name, place in self._places().items()
        }
        return super().describe() | named | {"split": self.split}

    def _places(self) -> dict[str, Path | str | None]:
        names = ("pictures", "image_tower", "text_tower", "start_from", "answers")
        return {name: getattr(self, name) for name in names}
