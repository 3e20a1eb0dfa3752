from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perception_tools.folding import FoldedResult
from perception_tools.main import main


def test_inspect_prints_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["block", "inspect", "random:12x20x6x2?seed=3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dim"], found["ffn_dim"], found["heads"], found["kv_heads"]) == (12, 20, 6, 2)


def test_slice_writes_a_file_that_inspect_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "block.safetensors"
    assert main(["block", "slice", "random:12x20x3#1,2", str(out), "--dtype", "float16"]) == 0
    printed = capsys.readouterr().out
    assert main(["block", "inspect", f"{out}#2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == [2]
    assert found["stored_dtype"] == "float16"
    assert found["sliced_from"] == "random:12x20x3#1,2"
    assert str(out) in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "no/such/model.gguf"], "no/such/model.gguf: no such file or folder"),
        (["slice", "random:12x20x3", "block.pt"], "block.pt: expected a name that ends in .safetensors"),
    ],
)
def test_mistake_is_one_line_on_stderr(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["block", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"perception block {words[0]}: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_fold_passes_its_options_on_and_gives_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple] = []
    measured = FoldedResult("int8", 1.5, 0.01, {"min_fde": 2.0}, 0.3)

    def remember(*words: object, **options: object) -> list[FoldedResult]:
        asked.append((*words, options))
        return [measured]

    monkeypatch.setattr("perception_tools.folding.fold_run", remember)
    given = tmp_path / "given.json"
    words = f"block fold run out --precisions int8 float32 --data in --split test --limit 7 --json {given}"
    assert main(words.split()) == 0
    assert asked == [(Path("run"), Path("out"), ("int8", "float32"), Path("in"), {"split": "test", "limit": 7})]
    assert json.loads(given.read_text())["precisions"] == [
        {"precision": "int8", "megabytes": 1.5, "relative_error": 0.01, "block_ms": 0.3, "min_fde": 2.0}
    ]


def test_fetch_says_where_the_block_is(capsys: pytest.CaptureFixture[str]) -> None:
    if main(["block", "fetch"]) != 0:
        pytest.skip(f"needs the package index: {capsys.readouterr().err}")
    assert main(["block", "inspect", "smollm2"]) == 0
    captured = capsys.readouterr().out
    lines, found = captured.split("{")[0], json.loads("{" + captured.split("{", 1)[1])
    assert found["fingerprint"] in lines
    assert found["files"][0] in lines


@pytest.mark.parametrize("command", ["fetch", "slice", "inspect", "fold"])
def test_help_does_not_import_torch(command: str) -> None:
    code = f"""
import sys
from perception_tools.main import main
try:
    main(["block", {command!r}, "--help"])
except SystemExit as stop:
    assert stop.code == 0
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage: perception block" in result.stdout
