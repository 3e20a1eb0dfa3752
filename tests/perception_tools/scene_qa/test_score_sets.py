"""The command lines of ScanQA, MSQA and Real-3DQA, from files to numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from perception_tools.main import main

SCANQA = [
    {
        "scene_id": "scene0011_00", "object_ids": objects, "question_id": f"val-{i}", "question": question,
        "answers": answers,
    }
    for i, (question, answers, objects) in enumerate(
        [
            ("Where is the desk?", ["by the window", "at the window"], [1]),
            ("What color is the desk?", ["brown"], [1]),
            ("How many chairs are there?", ["2", "two"], [3, 2]),
        ]
    )
]  # fmt: skip


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def metrics_of(out: Path) -> dict:
    return json.loads((out / "metrics.json").read_text())


def test_scanqa_is_scored_by_its_types_and_objects(tmp_path: Path) -> None:
    questions = write(tmp_path / "ScanQA_v1.0_val.json", SCANQA)
    ours = write(tmp_path / "ours.json", {"val-0": "At the window.", "val-1": "brown", "val-2": "three"})
    theirs = write(tmp_path / "theirs.json", {"val-2": "2"})
    words = f"score scanqa {ours} {theirs} --questions {questions} --out {tmp_path / 'out'}"
    assert main(words.split()) == 0
    metrics = metrics_of(tmp_path / "out")
    assert (metrics["data"], metrics["questions"]) == ("ScanQA_v1.0_val", 3)
    assert (metrics["em1"], metrics["em1_cleaned"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert metrics["by_type"]["scanqa"]["color"]["em1"] == 1.0
    assert metrics["all_right"]["object"] | {"groups": 2, "em1_cleaned": 0.5} == metrics["all_right"]["object"]
    assert metrics["paired"][str(theirs)]["object_em1_cleaned"]["first_only"] == 1
    records = pq.read_table(tmp_path / "out" / "records.parquet").to_pylist()
    assert [record["question_id"] for record in records[:3]] == ["val-0", "val-1", "val-2"]


def test_captions_are_counted_where_the_package_is_and_otherwise_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = write(tmp_path / "q.json", SCANQA)
    ours = write(tmp_path / "ours.json", {"val-1": "brown"})
    monkeypatch.setattr("perception_tools.scene_qa.captions.can_score_captions", lambda: False)
    words = f"score scanqa {ours} --questions {questions} --out {tmp_path / 'out'}"
    assert main(words.split()) == 0
    assert metrics_of(tmp_path / "out")["captions"] == {"systems": {}, "first_against": {}}
    assert "pycocoevalcap is not installed; pip install 'frozen-perception[captions]'" in capsys.readouterr().out


def test_captions_stand_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed: pip install pycocoevalcap")
    monkeypatch.setattr("perception.metrics.caption_scores.shutil.which", lambda _: None)
    questions = write(tmp_path / "q.json", SCANQA)
    ours = write(tmp_path / "ours.json", {"val-0": "by the window", "val-1": "brown", "val-2": "2"})
    theirs = write(tmp_path / "theirs.json", {"val-0": "window"})
    words = f"score scanqa {ours} {theirs} --questions {questions} --out {tmp_path / 'out'}"
    assert main(words.split()) == 0
    captions = metrics_of(tmp_path / "out")["captions"]
    assert captions["systems"][str(ours)]["bleu1"] == pytest.approx(1.0)
    against = captions["first_against"][str(theirs)]
    assert against.keys() == {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider"}
    assert against["rouge_l"]["difference"] > 0
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert 'id="captions"' in html
    assert "METEOR was not counted, because it needs Java" in html


def test_the_test_splits_of_scanqa_cannot_be_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [{name: value for name, value in item.items() if name != "answers"} for item in SCANQA]
    questions = write(tmp_path / "ScanQA_v1.0_test_wo_obj.json", items)
    ours = write(tmp_path / "ours.json", {"val-1": "brown"})
    assert main(f"score scanqa {ours} --questions {questions} --out {tmp_path / 'out'}".split()) == 2
    assert "score val, the test answers are not public" in capsys.readouterr().err


def test_msqa_is_scored_and_answers_are_cleaned_where_asked(tmp_path: Path) -> None:
    types = ("counting", "attribute-color")
    items = [
        {"index": i, "scan_id": "s", "situation": "I", "question": "?", "answers": [a], "type": t}
        for i, (a, t) in enumerate(zip(("two", "red"), types, strict=True))
    ]
    questions = write(tmp_path / "msqa_scannet_test.json", items)
    ours = write(tmp_path / "ours.json", [{"index": 0, "response_pred": "Answer: two</s>", "response_gt": ["two"]}])
    words = f"score msqa {ours} --questions {questions} --out {tmp_path / 'out'}"
    assert main(words.split()) == 0
    assert metrics_of(tmp_path / "out")["em1"] == 0.0
    assert main([*words.split(), "--clean"]) == 0
    metrics = metrics_of(tmp_path / "out")
    assert metrics["by_type"]["msqa"]["counting"]["em1"] == 1.0
    assert metrics["by_type"]["msqa"]["attribute and description"]["em1"] == 0.0
    assert "Answers were cleaned (--clean)." in metrics["notes"]


def real3dqa(path: Path, answers: list[str], **more: str) -> Path:
    items = [
        {
            "scene_id": "s", "situation": f"I sit {path.stem}.", "question": "What is it?", "question_id": 100 + i,
            "answers": [{"answer": answer}], **more,
        }
        for i, answer in enumerate(answers)
    ]  # fmt: skip
    return write(path, {"questions": items})


def test_one_file_of_real3dqa_is_scored_as_sqa3d_is(tmp_path: Path) -> None:
    questions = real3dqa(tmp_path / "debiased.json", ["chair", "left"], question_type="object")
    ours = write(tmp_path / "ours.json", {"100": "chair"})
    assert main(f"score real3dqa {ours} --questions {questions} --out {tmp_path / 'out'}".split()) == 0
    assert metrics_of(tmp_path / "out")["by_type"]["real3dqa"]["object"]["em1"] == 0.5


def test_four_rotations_give_the_consistency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truths = (["bed", "left"], ["bed", "right"], ["sofa", "left"], ["desk", "right"])
    questions = [real3dqa(tmp_path / f"rotation_{i}.json", of) for i, of in enumerate(truths)]
    given = ({"100": "bed", "101": "left"}, {"100": "bed"}, {"100": "a sofa", "101": "left"}, {"100": "desk"})
    files = [write(tmp_path / f"answers_{i}.json", of) for i, of in enumerate(given)]
    words = ["score", "real3dqa", *map(str, files), "--questions", *map(str, questions), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    metrics = metrics_of(tmp_path / "out")
    assert (metrics["questions"], metrics["left_out"]) == (2, 0)
    assert metrics["refined"]["at_least"] == [1.0, 1.0, 0.5, 0.5]
    assert metrics["refined"]["score"] == 0.75
    assert metrics["refined"]["by_rotation"] == {"0": 1.0, "90": 0.5, "180": 1.0, "270": 0.5}
    assert len(pq.read_table(tmp_path / "out" / "records.parquet")) == 8
    assert "all four" in capsys.readouterr().out


def test_a_number_of_files_that_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = [str(real3dqa(tmp_path / f"r{i}.json", ["bed"])) for i in range(2)]
    ours = write(tmp_path / "ours.json", {"100": "bed"})
    words = ["score", "real3dqa", str(ours), "--questions", *questions, "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "expected one file, or 4 rotations with a file of answers to each, found 2 with 1" in capsys.readouterr().err
