"""What the report is written from: one `SystemEvaluation` a system, all on the same questions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from perception.metrics.question_answering import AnswerTable
from perception_tools.scene_qa.published import TEST_COUNTS

NO_ANSWER = "(no answer)"


@dataclass(frozen=True)
class SystemEvaluation:
    """One system on one set of questions.

    Attributes:
        name: As it heads a row.
        table: Right or wrong, question by question.
        metrics: `AnswerTable.as_json()`, and `localization`.
        is_oracle: Whether it was counted on the very questions that it answers.
    """

    name: str
    table: AnswerTable
    metrics: dict
    is_oracle: bool

    @property
    def on_test_split(self) -> bool:
        """Whether the questions are SQA3D's released test split, judged by how many there are of each type."""
        groups = self.metrics["by_type"]["first_token"]
        return {name: group["questions"] for name, group in groups.items()} == TEST_COUNTS

    def confusions(self) -> Counter[tuple[str, str]]:
        """How often a true answer (the first of several) met a given one, right answers included."""
        pairs = Counter()
        for question, ranked, right in zip(
            self.table.questions, self.table.answers, self.table.column("em1"), strict=True
        ):
            given = (ranked[0] or NO_ANSWER) if ranked else NO_ANSWER
            pairs[given if right else question.answers[0], given] += 1
        return pairs
