"""Systems that answer questions about scenes, on the same questions: scored, compared, and put into a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from perception.baselines.majority import majority, majority_per_type
from perception.errors import InputError, first_of
from perception.metrics.answer_gaming import EasyAnswer, easy_answers
from perception.metrics.answer_matching import RULES
from perception.metrics.blind_filter import FILTER_RULE, missed_by_blind
from perception.metrics.localization import localization_errors, localization_hits
from perception.metrics.question_answering import HEADLINE, score_answers
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_tools.json_files import write_json
from perception_tools.records_file import RECORDS_FILE, write_records
from perception_tools.scene_qa.captions import CAPTION_NAMES, CaptionResults, caption_results
from perception_tools.scene_qa.comparison import (
    Paired,
    RecipeScores,
    average_seeds,
    compare_systems,
    compare_tables,
    paired_json,
)
from perception_tools.scene_qa.notes import notes_on, notes_on_rules, refined_ways
from perception_tools.scene_qa.records import answer_records, write_answers
from perception_tools.scene_qa.report.evaluation import BlindFilter, PlaceErrors, SystemEvaluation
from perception_tools.scene_qa.report.writer import write_scene_qa_report

BASELINES = {"majority": majority, "majority-per-type": majority_per_type}
"""Name → what gives it. Counted on the very questions that are asked: the most that such a guess could reach."""


@dataclass(frozen=True)
class AnsweringSystem:
    """Answers of one system: a file of predictions, a trained model, or a baseline.

    Attributes:
        name: Name of its row in every table.
        answers: Ranked, the best first, by question id.
        viewpoints: Where it believes the asker to stand, by question id, in the frame of the questions' own.
        is_oracle: Whether it was counted on the very questions that it answers.
        probabilities: Probability of each ranked answer, by question id; empty where the system does not say.
        recipe: Recipe that it was trained by, so that runs which differ by their seeds are averaged; None if unknown.
        is_blind: Whether it sees no scene. Questions that it answers are left out of a second scoring.
    """

    name: str
    answers: Mapping[int, Sequence[str]]
    viewpoints: Mapping[int, Viewpoint] = field(default_factory=dict)
    is_oracle: bool = False
    probabilities: Mapping[int, Sequence[float]] = field(default_factory=dict)
    recipe: str | None = None
    is_blind: bool = False


@dataclass(frozen=True)
class QuestionDetails:
    """What a data set says of its questions beside the answers.

    Attributes:
        kinds: Name of a classification → type of each question; None for SQA3D's types.
        groups: Name of a grouping → group of each question; None for the situations of SQA3D.
        ids: Id in the data set's own files, by question id; None where the two are the same.
        captions: Whether to count CIDEr, BLEU, ROUGE-L and METEOR, as for answers in the systems' own words.
    """

    kinds: Mapping[str, Sequence[str]] | None = None
    groups: Mapping[str, Sequence[str]] | None = None
    ids: Mapping[int, str] | None = None
    captions: bool = False


def baseline(name: str, questions: Sequence[SceneQuestion]) -> AnsweringSystem:
    """One of `BASELINES`, counted on the questions themselves."""
    return AnsweringSystem(name, BASELINES[name](questions, questions), is_oracle=True)


def evaluate_answers(
    questions: Sequence[SceneQuestion],
    systems: Sequence[AnsweringSystem],
    out: Path,
    *,
    vocabulary: AnswerVocabulary | None,
    data_name: str,
    details: QuestionDetails | None = None,
    notes: Sequence[str] = (),
) -> dict:
    """Prints the scores, writes metrics.json, records.parquet, answers.jsonl and report.html, and returns the metrics.

    The first system's numbers stand at the top, the others' under `others`, where both majority baselines always are.
    `paired` compares the first with every other system that was asked for, by every score: McNemar's exact test, and
    the difference with its interval over scenes. `recipes` has the means of runs of one recipe. If a system is blind,
    `beyond_blind` scores all of them on the questions that no blind one answers.

    Raises:
        InputError: A system answers questions that were not asked, or two systems have one name.
    """
    details = details or QuestionDetails()
    evaluations = _evaluate_all(questions, systems, vocabulary, details)
    chosen = evaluations[: len(systems)]
    first, *others = chosen
    paired = {other.name: compare_systems(first, other) for other in others}
    recipes, easy = average_seeds(chosen), easy_answers([question.answers for question in questions])
    blind_names = [system.name for system in systems if system.is_blind]
    blind = _beyond_blind(chosen, blind_names)
    notes = [*notes, *(note for evaluation in chosen for note in notes_on(evaluation))]  # those of the caller first
    if vocabulary is None:
        notes.append("No answer dictionary was given or found, so answers outside it were not counted.")
    captions = caption_results(chosen) if details.captions else None
    notes += [
        *notes_on_rules(easy),
        *_blind_notes(blind_names, blind, len(questions)),
        *(captions.notes if captions else ()),
    ]
    metrics = _metrics(evaluations, paired, data_name, notes)
    metrics |= _more_metrics(recipes, easy, blind) | ({"captions": captions.as_json()} if captions else {})
    _print_table(evaluations, paired, recipes)
    _print_captions(captions)
    print("\n".join(["", *notes, ""]))
    write_json(out / "metrics.json", metrics)
    write_records(out / RECORDS_FILE, answer_records(chosen))
    write_answers(out / "answers.jsonl", chosen)
    more = {"notes": notes, "easy": easy, "recipes": recipes, "blind": blind}
    more["captions"] = captions.table() if captions and captions.scores else None
    write_scene_qa_report(out / "report.html", evaluations, paired, data_name=data_name, **more)
    print("\n".join(str(out / name) for name in ("metrics.json", RECORDS_FILE, "answers.jsonl", "report.html")))
    return metrics


def _evaluate_all(
    questions: Sequence[SceneQuestion],
    systems: Sequence[AnsweringSystem],
    vocabulary: AnswerVocabulary | None,
    details: QuestionDetails,
) -> list[SystemEvaluation]:
    """Evaluates the systems, then those baselines that are not among them."""
    if not systems:
        raise InputError("expected at least one system, got none; name a file of answers, or give --baseline")
    for system in systems:
        _check_ids(system, questions)
    asked_for = {system.name for system in systems if system.is_oracle}
    context = [baseline(name, questions) for name in BASELINES if name not in asked_for]
    names = [system.name for system in (*systems, *context)]
    if len(set(names)) < len(names):
        raise InputError(f"expected systems of different names, got {', '.join(names)}; rename one")
    return [_evaluate(system, questions, vocabulary, details) for system in (*systems, *context)]


def _check_ids(system: AnsweringSystem, questions: Sequence[SceneQuestion]) -> None:
    asked = {question.id for question in questions}
    unknown = [number for number in (*system.answers, *system.viewpoints) if number not in asked]
    if unknown:
        shown = first_of(unknown)
        raise InputError(
            f"{system.name}: expected answers to the {len(asked):,} questions asked, got {len(unknown):,} for question "
            f"ids that are not among them ({shown}); evaluate with the questions of the split that was predicted"
        )


def _evaluate(
    system: AnsweringSystem,
    questions: Sequence[SceneQuestion],
    vocabulary: AnswerVocabulary | None,
    details: QuestionDetails,
) -> SystemEvaluation:
    table = score_answers(questions, system.answers, vocabulary, kinds=details.kinds, groups=details.groups)
    places = _place_errors(system, questions)
    metrics = table.as_json() | {"localization": _localization(places), "refined_ways": refined_ways(table)}
    return SystemEvaluation(
        system.name, table, metrics, system.is_oracle, places, system.recipe, system.probabilities, details.ids
    )


def _place_errors(system: AnsweringSystem, questions: Sequence[SceneQuestion]) -> PlaceErrors | None:
    known = [(question.id, question.viewpoint) for question in questions if question.viewpoint is not None]
    rows = [row for row, (number, _) in enumerate(known) if number in system.viewpoints]
    if not rows:
        return None
    distance, angle = np.full(len(known), np.inf), np.full(len(known), np.inf)
    pairs = [(system.viewpoints[known[row][0]], known[row][1]) for row in rows]
    distance[rows], angle[rows] = localization_errors(*zip(*pairs, strict=True))
    return PlaceErrors(distance, angle)


def _localization(places: PlaceErrors | None) -> dict | None:
    """Accuracies over every question whose viewpoint is known, those without a guess counted as wrong."""
    if places is None:
        return None
    shares = {name: float(of.mean()) for name, of in localization_hits(places.distance_m, places.angle_rad).items()}
    given = int(np.isfinite(places.distance_m).sum())
    return {"questions": len(places.distance_m), "given": given, **shares}


def _beyond_blind(evaluations: Sequence[SystemEvaluation], blind: Sequence[str]) -> BlindFilter | None:
    """Scores every system on the questions that no blind one answers; None without a blind one or such questions."""
    left = missed_by_blind([e.table for e in evaluations if e.name in blind]) if blind else np.zeros(1, dtype=bool)
    if not left.any():
        return None
    tables = {e.name: e.table.only(left) for e in evaluations}
    first = tables[evaluations[0].name]
    paired = {e.name: compare_tables(first, tables[e.name]) for e in evaluations[1:]}
    return BlindFilter(tuple(blind), {name: table.as_json() for name, table in tables.items()}, paired)


def _blind_notes(names: Sequence[str], blind: BlindFilter | None, asked: int) -> list[str]:
    """Says what the blind systems leave to score, also if that is nothing or everything."""
    if not names:
        return []
    called, rule = ", ".join(names), RULES[FILTER_RULE].heading
    check = "Check that this is what a system without the scene predicted"
    if blind is None:
        return [
            f"{called} answers every question without the scene ({rule}), so none is left to score the systems on. "
            f"{check}, not true answers."
        ]
    left = next(iter(blind.metrics.values()))["questions"]
    if left == asked:
        return [f"{called} answers no question without the scene ({rule}), so all {left:,} are left. {check}."]
    return [
        f"{called} answers without the scene; {left:,} questions are left without those that it answers ({rule}), and "
        "every system is scored on them too."
    ]


def _metrics(
    evaluations: Sequence[SystemEvaluation], paired: Mapping[str, Paired], data_name: str, notes: Sequence[str]
) -> dict:
    first, *others = evaluations
    return first.metrics | {
        "name": first.name,
        "data": data_name,
        "notes": list(notes),
        "rules": {name: asdict(rule) for name, rule in RULES.items()},
        "paired": {name: paired_json(of) for name, of in paired.items()},
        "others": {other.name: other.metrics for other in others},
    }


def _more_metrics(recipes: Sequence[RecipeScores], easy: Sequence[EasyAnswer], blind: BlindFilter | None) -> dict:
    return {
        "recipes": {of.recipe: of.as_json() for of in recipes},
        "easy_answers": [asdict(answer) for answer in easy],
        "beyond_blind": None
        if blind is None
        else {
            "blind": list(blind.names),
            "rule": FILTER_RULE,
            "systems": dict(blind.metrics),
            "paired": {name: paired_json(of) for name, of in blind.paired.items()},
        },
    }


def _print_table(
    evaluations: Sequence[SystemEvaluation],
    paired: Mapping[str, Paired],
    recipes: Sequence[RecipeScores],
) -> None:
    """The whole split's numbers of every system, on the screen."""
    first = evaluations[0].metrics
    outside = first["out_of_vocabulary"]
    width = max(len(name) for name in (*(e.name for e in evaluations), *(f"{of.recipe}, mean" for of in recipes)))
    print(f"\n{first['questions']:,} questions in {first['scenes']} scenes", end="")
    print("" if outside is None else f", {outside} with answers outside the dictionary")
    print(f"{'':<{width}} " + " ".join(f"{name:>12}" for name in HEADLINE))
    for evaluation in evaluations:
        print(f"{evaluation.name:<{width}} " + " ".join(f"{evaluation.metrics[name]:12.6f}" for name in HEADLINE))
    for of in recipes:
        means = " ".join(f"{np.mean(of.scores[name]):12.6f}" for name in HEADLINE)
        print(f"{f'{of.recipe}, mean':<{width}} {means}  {len(of.runs)} runs")
    for name, hits in paired.items():
        print(f"\n{evaluations[0].name} against {name}: difference [95 % over scenes], McNemar's exact p")
        for score in HEADLINE:
            (low, high), p = hits[score].interval, hits[score].p_value
            verdict = "told apart" if hits[score].told_apart else "not told apart"
            print(f"{score:>12} {hits[score].difference:+.6f} [{low:+.6f}, {high:+.6f}] {p:.4f} {verdict}")


def _print_captions(captions: CaptionResults | None) -> None:
    for name, of in captions.scores.items() if captions else ():
        print(f"\n{name}: " + ", ".join(f"{CAPTION_NAMES[score]} {value:.6f}" for score, value in of.means.items()))
        for score, compared in captions.against.get(name, {}).items() if captions else ():
            (low, high), verdict = compared.interval, "told apart" if compared.told_apart else "not told apart"
            print(f"{CAPTION_NAMES[score]:>12} {compared.difference:+.6f} [{low:+.6f}, {high:+.6f}] {verdict}")
