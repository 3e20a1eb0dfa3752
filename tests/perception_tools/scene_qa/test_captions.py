from __future__ import annotations

import pytest

from perception.metrics.question_answering import score_answers
from perception.scenes.scene import SceneQuestion
from perception_tools.scene_qa.captions import VARIANT, caption_results
from perception_tools.scene_qa.report.evaluation import SystemEvaluation

QUESTIONS = [
    SceneQuestion(i, f"s{i % 3}", "", "What is it?", (truth,), None)
    for i, truth in enumerate(("brown chair", "white desk", "red bed by the door") * 2)
]


def system(name: str, right: int) -> SystemEvaluation:
    table = score_answers(QUESTIONS, {q.id: [q.answers[0]] for q in QUESTIONS[:right]}, None)
    return SystemEvaluation(name, table, table.as_json(), is_oracle=False)


def test_every_score_has_its_difference_below(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed: pip install pycocoevalcap")
    monkeypatch.setattr("perception.metrics.caption_scores.shutil.which", lambda _: None)
    results = caption_results([system("a", 6), system("b", 2)])
    assert results.notes[0] == VARIANT
    table = results.table()
    assert table.headings == ("system", "CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L")
    (first, ours), (second, theirs) = table.rows
    assert (first, second, ours[1].text) == ("a", "b", "100.00")
    assert all(not cell.note for cell in ours)
    assert all(cell.note.startswith("+") for cell in theirs)
    assert results.as_json()["first_against"]["b"]["rouge_l"]["told_apart"]


def test_without_the_package_nothing_is_scored_and_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perception_tools.scene_qa.captions.can_score_captions", lambda: False)
    results = caption_results([system("a", 1)])
    assert results.scores == {}
    assert "pip install 'frozen-perception[captions]'" in results.notes[0]
