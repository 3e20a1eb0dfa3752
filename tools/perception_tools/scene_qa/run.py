"""What training a scene answerer is told. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from typing_extensions import override

from perception_tools.output_places import keep_apart
from perception_tools.scene_qa.recipes import SceneQaRecipe
from perception_tools.training.bounds import Count, Index
from perception_tools.training.run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class SceneQaRun(TrainingRun):
    """Train a scene answerer on a store of scenes and questions (`perception prepare scannet`, then `sqa3d`).

    Attributes:
        answers: SQA3D's answer_dict.json. Without it, the answers are those that occur twice in the training split.
        word_vectors: A GloVe text file. Without it, word vectors are learned.
        detector_run: A run whose detector is taken as it is and learns no more: a `…-detector` recipe's, or any
            answerer's with such a detector. Controls and seeds are then compared on the same objects, in less time.
        limit: Train on this many of the first scenes only.
        val_limit: Validate on this many of the first scenes only.
        keep: Number of scans' points that each reading process keeps in memory, some 30 bytes each.
    """

    recipe: tyro.conf.OmitArgPrefixes[SceneQaRecipe]
    answers: Path | None = None
    word_vectors: Path | None = None
    detector_run: Path | None = None
    limit: Count | None = None
    val_limit: Count | None = None
    keep: Index = 20_000_000

    @override
    def check(self) -> None:
        """As in `TrainingRun`; nor is anything written over what the answerer is built from."""
        from perception_tools.model_metadata import MODEL_FILE

        super().check()
        read = [path for path in (self.answers, self.word_vectors, self.detector_run) if path is not None]
        keep_apart([self.out, self.out / MODEL_FILE], read)

    @override
    def describe(self) -> dict:
        """What makes it this run and no other, as run.json holds it."""
        files = {"answers": self.answers, "word_vectors": self.word_vectors, "detector_run": self.detector_run}
        return super().describe() | {name: str(path.resolve()) if path else None for name, path in files.items()}
