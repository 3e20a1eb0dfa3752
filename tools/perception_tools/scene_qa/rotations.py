"""Real-3DQA's viewpoint rotation score of one system: the same questions asked from four viewpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.metrics.answer_matching import matches_cleaned, matches_refined
from perception.metrics.rotation_consistency import RotationConsistency
from perception_datasets.sqa3d.real3dqa import ROTATIONS_DEG, Real3dqaQuestion, read_questions, same_questions
from perception_tools.answer_files.formats import FieldChoice
from perception_tools.answer_files.named_answers import read_named_answers
from perception_tools.json_files import write_json
from perception_tools.records_file import RECORDS_FILE, write_records

SCORES = {"em1_cleaned": matches_cleaned, "refined": matches_refined}
"""Real-3DQA's script counts by the refined rule."""


def evaluate_rotations(
    questions: Sequence[Path],
    predictions: Sequence[Path],
    out: Path,
    *,
    clean: bool = False,
    choice: FieldChoice | None = None,
) -> dict:
    """Prints the scores, writes OUT/metrics.json and OUT/records.parquet, and returns what metrics.json holds.

    Args:
        questions: Question files, one for each of `ROTATIONS_DEG`.
        predictions: Answers of one system to each.
        out: Folder for the files.
        clean: Whether to remove what language models write around an answer.
        choice: Fields that the user named.

    Raises:
        InputError: A file cannot be used, or no question is asked from every viewpoint.
    """
    read = [read_questions(path) for path in questions]
    answers = [
        read_named_answers(path, {str(of.id): of.id for of in asked}, choice, clean=clean)
        for path, asked in zip(predictions, read, strict=True)
    ]
    matched = same_questions(read)
    if not matched:
        raise InputError(f"{questions[0]}: expected questions that every rotation asks, found none; give one release")
    records = [
        _record(of, asked, given, rotation)
        for of in matched
        for rotation, asked, given in zip(ROTATIONS_DEG, of, answers, strict=True)
    ]
    found = {}
    for name in SCORES:
        hits = np.array([record[name] for record in records], dtype=bool).reshape(len(matched), -1)
        by_rotation = dict(zip(map(str, ROTATIONS_DEG), hits.mean(axis=0).tolist(), strict=True))
        found[name] = asdict(RotationConsistency.count(hits)) | {"by_rotation": by_rotation}
    left_out = sum(map(len, read)) - len(records)
    metrics = {"questions": len(matched), "rotations_deg": list(ROTATIONS_DEG), "left_out": left_out, **found}
    _print(metrics)
    write_json(out / "metrics.json", metrics)
    write_records(out / RECORDS_FILE, records)
    print("\n".join(str(out / name) for name in ("metrics.json", RECORDS_FILE)))
    return metrics


def _record(of: Sequence[Real3dqaQuestion], asked: Real3dqaQuestion, given: dict, rotation: int) -> dict[str, object]:
    ranked = given.get(asked.id, ())
    answer = ranked[0] if ranked else ""
    return {
        "question_id": of[0].id,
        "rotation_deg": rotation,
        "id_in_file": asked.id,
        "scene_id": asked.scene_id,
        "situation": asked.situation,
        "question": asked.question,
        "true_answers": list(asked.answers),
        "answer": answer,
        **{name: int(rule(answer, asked.answers)) for name, rule in SCORES.items()},
    }


def _print(metrics: dict) -> None:
    print(f"\n{metrics['questions']:,} questions from every viewpoint, {metrics['left_out']:,} records left out")
    counts = ("one", "two", "three", "all four")
    print(f"{'right from':<12} " + " ".join(f"{name:>10}" for name in counts) + f" {'mean (VRS)':>12}")
    for name in SCORES:
        shares = " ".join(f"{share:10.6f}" for share in metrics[name]["at_least"])
        print(f"{name:<12} {shares} {metrics[name]['score']:12.6f}")
    print("The mean is the mean accuracy over the viewpoints; “all four” is the consistency.\n")
