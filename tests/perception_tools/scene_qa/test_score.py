"""The command line of scoring answers, and the former one of evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perception_tools.answer_files.formats import FORMATS, FieldChoice
from perception_tools.main import main

FILES = "--questions q.json --annotations a.json --out out".split()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks for, without doing it."""
    calls: dict[str, Any] = {}

    def remember(questions: Path, annotations: Path, out: Path, **options: Any) -> None:
        calls.update(questions=questions, annotations=annotations, out=out, **options)

    monkeypatch.setattr("perception_tools.scene_qa.files.evaluate_files", remember)
    return calls


def test_files_are_scored_by_their_names(asked: dict[str, Any]) -> None:
    assert main(["score", "sqa3d", "p.json", *FILES]) == 0
    assert asked == {
        "questions": Path("q.json"), "annotations": Path("a.json"), "out": Path("out"),
        "predictions": (Path("p.json"),), "baseline": None, "answers": None, "data_name": None, "blind": (),
        "choice": FieldChoice(), "only": None, "clean": False,
    }  # fmt: skip


def test_several_systems_a_baseline_and_a_dictionary_can_be_named(asked: dict[str, Any]) -> None:
    assert main(["score", "sqa3d", "a", "b", *FILES, *"--baseline majority-per-type --answers d.json".split()]) == 0
    assert asked["predictions"] == (Path("a"), Path("b"))
    assert (asked["baseline"], asked["answers"]) == ("majority-per-type", Path("d.json"))


def test_fields_places_and_a_subset_can_be_named(asked: dict[str, Any]) -> None:
    options = "--answer-field result.text --id-field key --places --only ids.txt --clean".split()
    assert main(["score", "sqa3d", "a", *FILES, *options]) == 0
    assert (asked["choice"], asked["only"]) == (FieldChoice("result.text", "key", True), "ids.txt")
    assert asked["clean"]


def test_the_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["score", "sqa3d", "--help"])
    assert ended.value.code == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert [known.name for known in FORMATS if known.name not in words] == []


def test_a_users_mistake_is_said_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "sqa3d", *FILES, "--baseline", "majority"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("perception score sqa3d: q.json: no such file")
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_the_former_words_score_files_and_say_what_to_write_now(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--predictions", "a", *FILES, "--predictions", "b", "--baseline", "majority"]
    assert main(["evaluate", "scene-qa", *words]) == 0
    assert asked["predictions"] == (Path("a"), Path("b"))
    assert (asked["questions"], asked["baseline"]) == (Path("q.json"), "majority")
    now = f"perception score sqa3d a b {' '.join(FILES)} --baseline majority"
    assert capsys.readouterr().err == f"perception evaluate scene-qa is now: {now}\n"


def test_the_former_words_evaluate_runs_and_say_what_to_write_now(
    trained_answerer: Path, rooms_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--checkpoint {trained_answerer} --data {rooms_store} --split test --limit 1 --out {tmp_path}"
    assert main(["evaluate", "scene-qa", *words.split()]) == 0
    assert (tmp_path / "metrics.json").is_file()
    now = words.removeprefix("--checkpoint ")
    assert f"perception evaluate scene-qa is now: perception evaluate {now}\n" in capsys.readouterr().err
