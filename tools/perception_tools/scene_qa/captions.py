"""CIDEr, BLEU, ROUGE-L and METEOR of systems that answer in their own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perception.metrics.caption_scores import (
    PACKAGE,
    CaptionScores,
    can_score_captions,
    compare_captions,
    score_captions,
)
from perception.metrics.paired import PairedDifference
from perception_tools.report.page import Cell, Table
from perception_tools.scene_qa.report.evaluation import SystemEvaluation
from perception_tools.scene_qa.report.tables import difference_text

CAPTION_NAMES = {
    "cider": "CIDEr",
    "bleu1": "BLEU-1",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "bleu4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
}
VARIANT = (
    "CIDEr, BLEU, ROUGE-L and METEOR are those of the COCO caption evaluation on answers that are normalised and split "
    "at spaces, as LEO and MSR3D count them; ScanQA's own script splits by Stanford's tokenizer and does not normalise."
)


@dataclass(frozen=True)
class CaptionResults:
    """Scores of all systems.

    Attributes:
        scores: By system; empty where the package is not installed.
        against: Comparison of the first system with every other one, by score.
        notes: What a reader must know.
    """

    scores: Mapping[str, CaptionScores]
    against: Mapping[str, Mapping[str, PairedDifference]]
    notes: tuple[str, ...]

    def as_json(self) -> dict:
        """Returns what `metrics.json` holds: the package's values, CIDEr from 0 to 10 and the others from 0 to 1."""
        against = {
            name: {
                score: {"difference": of.difference, "interval": list(of.interval), "told_apart": of.told_apart}
                for score, of in compared.items()
            }
            for name, compared in self.against.items()
        }
        return {"systems": {name: dict(of.means) for name, of in self.scores.items()}, "first_against": against}

    def table(self) -> Table:
        """Returns a table per cent, with the first system's difference to each other one below."""
        names = [name for name in CAPTION_NAMES if name in next(iter(self.scores.values())).means]
        rows = []
        for system, of in self.scores.items():
            compared = self.against.get(system, {})
            cells = [
                Cell(f"{100 * of.means[n]:.2f}", difference_text(compared[n]) if n in compared else "") for n in names
            ]
            rows.append((system, cells))
        caption = "Times 100; below, the first system minus this one with the 95 % bootstrap interval over scenes"
        return Table("captions", caption, ("system", *(CAPTION_NAMES[name] for name in names)), rows)


def caption_results(evaluations: Sequence[SystemEvaluation]) -> CaptionResults:
    """Scores the first answers of every system, where `pycocoevalcap` is installed."""
    if not can_score_captions():
        cure = "pip install 'frozen-perception[captions]'"
        note = f"CIDEr, BLEU, ROUGE-L and METEOR were not counted: {PACKAGE} is not installed; {cure}"
        return CaptionResults({}, {}, (note,))
    first = evaluations[0]
    scores = {e.name: _scores(e) for e in evaluations}
    against = {
        e.name: compare_captions(scores[first.name], scores[e.name], first.table.scenes) for e in evaluations[1:]
    }
    notes = [VARIANT]
    if "meteor" not in scores[first.name].means:
        notes.append("METEOR was not counted, because it needs Java; install a Java runtime.")
    return CaptionResults(scores, against, tuple(notes))


def _scores(evaluation: SystemEvaluation) -> CaptionScores:
    table = evaluation.table
    answers = [ranked[0] if ranked else "" for ranked in table.answers]
    return score_captions(answers, [question.answers for question in table.questions])
