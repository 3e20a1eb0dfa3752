"""Drawn pictures with questions: the pictures hold the answers, the questions' texts do not."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8

from perception.errors import InputError
from perception_datasets.image_text.vqa import question_files, read_questions
from perception_datasets.procedural.picture_questions import (
    COLORS,
    COUNTS,
    GRID,
    KINDS,
    SIDE,
    Asked,
    make_record,
    write_picture_questions,
)

CHANCE = {"how many": 1 / len(COUNTS), "what color is the": 1 / len(COLORS), "which": 1 / len(KINDS)} | dict.fromkeys(
    ("is there a", "is the"), 1 / 2
)


@pytest.fixture(scope="module")
def records() -> list[tuple[UInt8[np.ndarray, "side side 3"], list[Asked]]]:
    return [make_record(np.random.default_rng((7, number))) for number in range(700)]


def _colors_by_cell(pixels: np.ndarray) -> dict[tuple[int, int], str]:
    """The colour of the shape in each cell that has one, as pixels have it: the nearest of the four."""
    found, size = {}, SIDE // GRID
    for row in range(GRID):
        for column in range(GRID):
            cell = pixels[row * size : (row + 1) * size, column * size : (column + 1) * size].reshape(-1, 3).astype(int)
            bright = cell[np.ptp(cell, axis=1) > 70]
            if len(bright) > 30:
                distances = np.linalg.norm(np.median(bright, 0) - np.array(list(COLORS.values())), axis=1)
                found[column, row] = list(COLORS)[int(distances.argmin())]
    return found


def test_counts_colours_and_relations_can_be_read_off_the_pixels(records: list) -> None:
    read = Counter()
    for pixels, asked in records[:150]:
        seen = _colors_by_cell(pixels)
        counts = Counter(seen.values())
        for question in asked:
            if of := re.fullmatch(r"how many (\w+) shapes are there\?", question.text):
                assert question.answer == str(counts[of[1]])
            elif question.question_type == "what color is the":
                assert question.answer in counts
            elif of := re.fullmatch(r"which shape is (\w+)\?", question.text):
                assert counts[of[1]] == 1
            elif (of := re.fullmatch(r"is there a (\w+) \w+\?", question.text)) and not counts[of[1]]:
                assert question.answer == "no"
            elif of := re.fullmatch(r"is the (\w+) \w+ ([a-z ]+) the (\w+) \w+\?", question.text):
                if counts[of[1]] == counts[of[3]] == 1:
                    (x, y), (other_x, other_y) = (next(at for at, c in seen.items() if c == of[i]) for i in (1, 3))
                    is_so = {
                        "to the left of": x < other_x, "to the right of": x > other_x, "above": y < other_y,
                        "below": y > other_y,
                    }[of[2]]  # fmt: skip
                    assert question.answer == ("yes" if is_so else "no"), question.text
                    read[of[2]] += 1
    assert len(read) == 4
    assert min(read.values()) > 5


def test_each_answer_of_a_kind_is_as_frequent_as_the_others(records: list) -> None:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for _, asked in records:
        for question in asked:
            answers[question.question_type][question.answer] += 1
    for kind, counts in answers.items():
        total, chance = counts.total(), CHANCE[kind]
        assert len(counts) == round(1 / chance)
        for count in counts.values():
            assert abs(count / total - chance) < 4 * (chance * (1 - chance) / total) ** 0.5, kind


def test_the_best_answer_to_each_text_is_right_by_chance_on_other_pictures(records: list) -> None:
    """No model that does not look can do better than the most frequent answer to each text."""
    by_text: dict[str, Counter[str]] = defaultdict(Counter)
    for _, asked in records[:500]:
        for question in asked:
            by_text[question.text][question.answer] += 1
    others = [question for _, asked in records[500:] for question in asked]
    right = [bool(by_text[one.text]) and by_text[one.text].most_common(1)[0][0] == one.answer for one in others]
    chance = np.mean([CHANCE[one.question_type] for one in others])
    assert np.mean(right) < chance + 4 * (chance * (1 - chance) / len(others)) ** 0.5


def test_a_split_is_read_as_vqav2_with_the_questions_types_of_its_list(tmp_path: Path, real_data: Path) -> None:
    paths = list(write_picture_questions(tmp_path, "train", count=3, seed=0))
    questions = read_questions(*question_files(tmp_path, "train"))
    assert len(questions) == 18
    assert {of.image_file for of in questions} == {path.name for path in paths}
    assert {of.answer_type for of in questions} == {"yes/no", "number", "other"}
    known = set((real_data / "vqa" / "mscoco_question_types.txt").read_text().splitlines())
    assert {of.question_type for of in questions} == set(CHANCE) <= known
    assert all(of.question.startswith(of.question_type) for of in questions)


def test_the_same_seed_gives_the_same_files_and_a_larger_count_adds_to_them(tmp_path: Path) -> None:
    first = list(write_picture_questions(tmp_path / "a", "val", count=2, seed=0))
    before = [path.stat().st_mtime_ns for path in first]
    more = list(write_picture_questions(tmp_path / "a", "val", count=4, seed=0))
    other = list(write_picture_questions(tmp_path / "b", "val", count=4, seed=0))
    assert more[:2] == first
    assert [path.stat().st_mtime_ns for path in first] == before
    assert [path.read_bytes() for path in more] == [path.read_bytes() for path in other]
    splits = [read_questions(*question_files(tmp_path / name, "val")) for name in "ab"]
    assert splits[0] == splits[1]
    train = list(write_picture_questions(tmp_path / "a", "train", count=4, seed=0))
    assert {path.read_bytes() for path in train}.isdisjoint(path.read_bytes() for path in more)


def test_what_was_made_with_another_seed_is_not_mixed_in(tmp_path: Path) -> None:
    list(write_picture_questions(tmp_path, "val", count=1, seed=0))
    with pytest.raises(InputError, match="seed 1"):
        next(write_picture_questions(tmp_path, "val", count=1, seed=1))


def test_a_split_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        next(write_picture_questions(tmp_path / "in", "../out", count=1, seed=0))
