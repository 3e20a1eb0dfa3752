"""Which fields are read: those of known projects, the only one that can be meant, or the one that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception_tools.answer_files.content import Record, read_content
from perception_tools.answer_files.formats import (
    FORMATS,
    FieldChoice,
    ReadingPlan,
    field_value,
    plan_reading,
)

WRITTEN = Path(__file__).with_name("written") / "formats"
NONE = FieldChoice()


def plan(*items: dict[str, Any], choice: FieldChoice = NONE) -> ReadingPlan:
    records = [Record(f"p.json, item {number}", item) for number, item in enumerate(items)]
    return plan_reading(Path("p.json"), records, choice)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("llava_3d.json", ReadingPlan("LLaVA-3D", "text", "question", "question_id")),
        ("video_3d_llm.jsonl", ReadingPlan("Video-3D-LLM", "pred_response", "question", "sample_id")),
        ("chat_scene.json", ReadingPlan("Chat-Scene", "pred", "text", None)),
        ("leo.json", ReadingPlan("LEO", "response_pred", "text", None)),
        ("msr3d.json", ReadingPlan("MSR3D", "response_pred", "text", None)),
        ("sqa3d_language_models.json", ReadingPlan("SQA3D's script for language models", "answer", "text", None)),
        ("lmms_eval.jsonl", ReadingPlan("lmms-eval", "filtered_resps", "place", "doc_id")),
        ("scanqa.json", ReadingPlan("ScanQA", "answer_top10", "question", "question_id")),
        ("ids.json", ReadingPlan(None, "answer", "question", "question_id")),
        ("table.csv", ReadingPlan(None, "answer", "question", "question_id")),
        ("table.tsv", ReadingPlan(None, "answers", "question", "qid")),
    ],
)
def test_a_projects_file_is_recognised_by_its_fields(file: str, expected: ReadingPlan) -> None:
    path = WRITTEN / file
    assert plan_reading(path, read_content(path).records, NONE) == expected


def test_every_known_format_has_a_file_and_a_source() -> None:
    seen = set()
    for path in WRITTEN.iterdir():
        seen.add(plan_reading(path, read_content(path).records, NONE).format)
    assert seen - {None} == {known.name for known in FORMATS}
    assert all(known.source.startswith("https://github.com/") and ", " in known.source for known in FORMATS)


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"answer": "a"}, "answer"),
        ({"answers": ["a"]}, "answers"),
        ({"output": "a", "gt_answer": "b", "answer_type": "other"}, "output"),
        ({"model_answer": "a", "correct_answer": "b"}, "model_answer"),
        ({"answer": "truth", "answers": ["truth"], "prediction": "a"}, "prediction"),
        ({"answer": "truth", "pred": "a", "response_time": "3"}, "pred"),
        ({"answer": "a", "answer_id": "k", "answer_confidence": "yes", "output_tokens": 3}, "answer"),
        ({"generatedAnswer": "a", "question": "Is it?"}, "generatedAnswer"),
        ({"answer": "a", "response": None}, "answer"),
    ],
)
def test_the_only_field_that_can_be_the_prediction_is_read(fields: dict, answer: str) -> None:
    assert plan({"question_id": 1, **fields}) == ReadingPlan(None, answer, "question", "question_id")


@pytest.mark.parametrize(
    "fields",
    [
        {"answer": "left", "model_answer": "right"},
        {"answer": "left", "response": "right"},
        {"answer": "left", "output_text": "right"},
        {"answer": "left", "answers": ["right"]},
        {"prediction": "left", "pred_answer": "right"},
        {"text": "left", "modelOutput": 2},
    ],
)
def test_a_truth_beside_a_prediction_is_not_guessed(fields: dict) -> None:
    first, second = fields
    message = rf"p.json: expected one field that can be the prediction, found {first} \('left'\), {second} \(.*field$"
    with pytest.raises(InputError, match=message):
        plan({"question_id": 1, **fields})
    chosen = plan({"question_id": 1, **fields}, choice=FieldChoice(answer=second))
    assert chosen == ReadingPlan(None, second, "question", "question_id")


def test_a_field_of_a_later_record_counts_too() -> None:
    with pytest.raises(InputError, match=r"found answer \('left'\), model_answer \('right'\)"):
        plan({"question_id": 1, "answer": "left"}, {"question_id": 2, "answer": "left", "model_answer": "right"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question_id": 1, "label": "a"}, r"found question_id, label in the first record; name the field with --answ"),
        ({"question_id": 1, "gt_answer": "a"}, r"found question_id, gt_answer in the first record"),
        ({"question_id": 1, "answer": [{"answer": "a", "answer_id": 1}]}, r"found question_id, answer in the first"),
        ({"key": 1, "answer": "a"}, r"found key, answer in the first record; name the field with the ids with --id-f"),
        ({f"f{n}": n for n in range(40)}, r"f11, … in the first record"),
        ({"yes": "7"}, r"found yes in the first record"),
    ],
)
def test_an_unknown_format_is_refused_with_what_was_found_and_what_to_name(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        plan(fields)
    assert "JSON lines of objects with question_id and prediction" in str(caught.value)
    assert all(known.name in str(caught.value) for known in FORMATS)


def test_options_decide_and_reach_into_objects() -> None:
    record = Record("p", {"doc_id": 0, "target": "a", "score": {"question_id": 7, "text": "yes"}})
    chosen = plan_reading(Path("p"), [record], FieldChoice("score.text", "score.question_id"))
    assert (chosen.answer, chosen.ids, chosen.id) == ("score.text", "question", "score.question_id")
    assert field_value(record, "score.text") == "yes"
    assert field_value(Record("p", {"a.b": 1}), "a.b") == 1
    with pytest.raises(InputError, match=r"p: expected the field score.name, found doc_id, target, score"):
        field_value(record, "score.name")


def test_places_are_taken_from_an_id_or_from_the_order() -> None:
    places = FieldChoice(places=True)
    assert plan({"question_id": 0, "answer": "a"}, choice=places).id == "question_id"
    assert plan({"idx": 0, "answer": "a"}, choice=places).id == "idx"
    assert plan({"answer": "a"}, choice=places) == ReadingPlan(None, "answer", "place", None)
    chat = {"scene_id": "s", "qid": 0, "prompt": "p", "pred": "a", "ref_captions": []}
    assert plan(chat, choice=places) == ReadingPlan("Chat-Scene", "pred", "place", None)
