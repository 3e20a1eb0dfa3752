"""What the report is written from: one `SystemEvaluation` a system, all on the same questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from perception.metrics.mcnemar import PairedHits
from perception.metrics.question_answering import AnswerTable
from perception.scenes.scene import SceneQuestion
from perception_tools.scene_qa.published import TEST_COUNTS

NO_ANSWER = "(no answer)"


@dataclass(frozen=True)
class PlaceErrors:
    """How far the asker's believed place is from the true one, for every question whose place is known.

    Attributes:
        distance_m: In the floor plane; infinite where the system says nothing.
        angle_rad: About z; infinite where the system says nothing.
    """

    distance_m: Float64[np.ndarray, " places"]
    angle_rad: Float64[np.ndarray, " places"]


@dataclass(frozen=True)
class SystemEvaluation:
    """One system on one set of questions.

    Attributes:
        name: As it heads a row.
        table: Right or wrong, question by question.
        metrics: `AnswerTable.as_json()`, `localization` and `refined_ways`.
        is_oracle: Whether it was counted on the very questions that it answers.
        places: None if the system does not say where the asker stands.
        recipe: Recipe that it was trained by; runs of one recipe differ by their seeds. None if unknown.
        probabilities: Probability of each ranked answer, by question id; empty where unknown.
        ids: Id in the data set's own files, by question id; None where the two are the same.
    """

    name: str
    table: AnswerTable
    metrics: dict
    is_oracle: bool
    places: PlaceErrors | None = None
    recipe: str | None = None
    probabilities: Mapping[int, Sequence[float]] = field(default_factory=dict)
    ids: Mapping[int, str] | None = None

    def id_of(self, question: SceneQuestion) -> int | str:
        """Returns the question's id in the files of its data set."""
        return question.id if self.ids is None else self.ids[question.id]

    @property
    def types(self) -> dict[str, dict]:
        """Scores by question type, under the first rule that tells the type."""
        return next(iter(self.metrics["by_type"].values()))

    @property
    def on_test_split(self) -> bool:
        """Whether the questions are SQA3D's released test split, judged by how many there are of each type."""
        return {name: group["questions"] for name, group in self.types.items()} == TEST_COUNTS

    def confusions(self) -> Counter[tuple[str, str]]:
        """How often a true answer (the first of several) met a given one, right answers included."""
        pairs = Counter()
        for question, ranked, right in zip(
            self.table.questions, self.table.answers, self.table.column("em1"), strict=True
        ):
            given = (ranked[0] or NO_ANSWER) if ranked else NO_ANSWER
            pairs[given if right else question.answers[0], given] += 1
        return pairs


@dataclass(frozen=True)
class BlindFilter:
    """Scores on the questions that no blind system answers.

    Attributes:
        names: Names of the blind systems.
        metrics: Name of a system → `AnswerTable.as_json()` of these questions.
        paired: Name of every system but the first → the first against it, by score.
    """

    names: tuple[str, ...]
    metrics: Mapping[str, dict]
    paired: Mapping[str, Mapping[str, PairedHits]]
