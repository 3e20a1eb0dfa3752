"""The command itself: finds its sub-commands, and never shows a traceback for a user's mistake."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from perception.errors import InputError
from perception_tools.main import COMMANDS, main


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Makes `perception try` raise or return something."""

    def make(outcome: BaseException | int | None) -> None:
        def attempt() -> int | None:
            """Does what the test wants."""
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = ModuleType("a_command")
        module.__dict__["attempt"] = attempt
        monkeypatch.setitem(sys.modules, "a_command", module)
        monkeypatch.setitem(COMMANDS, "try", ("a_command:attempt", "try"))

    return make


@pytest.mark.parametrize("name", COMMANDS)
def test_every_word_leads_to_a_documented_function(name: str) -> None:
    module, function = COMMANDS[name][0].split(":")
    assert getattr(import_module(module), function).__doc__


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown and line in shown for name, (_, line) in COMMANDS.items())


def test_an_unknown_word_is_an_error_that_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "--data", "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("perception: no command 'trian --data'")
    assert all(name in err for name in COMMANDS)


def test_the_first_word_of_two_lists_its_own_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["block", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "block slice" in shown
    assert "evaluate" not in shown
    assert main(["block"]) == 2
    assert "block slice" in capsys.readouterr().err


def test_words_come_from_the_command_line_unless_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["perception", "nonsense"])
    assert main() == 2
    assert "'nonsense'" in capsys.readouterr().err


def test_a_mistake_in_the_input_is_one_sentence_and_exit_2(command, capsys: pytest.CaptureFixture[str]) -> None:
    command(InputError("x.csv: expected 50 time stamps, got 3; take another file"))
    assert main(["try"]) == 2
    assert capsys.readouterr().err == "perception try: x.csv: expected 50 time stamps, got 3; take another file\n"


def test_a_mistake_of_ours_is_not_hidden(command) -> None:
    command(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["try"])


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "\nperception try: stopped\n"),
        (KeyboardInterrupt("stopped; go on later"), 130, "\nperception try: stopped; go on later\n"),
        (BrokenPipeError(), 0, ""),
        (None, 0, ""),
        (3, 3, ""),
    ],
)
def test_exit_codes_are_a_shells(command, outcome, code, said, capsys: pytest.CaptureFixture[str]) -> None:
    command(outcome)
    assert main(["try"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train forecast/vectornet --data {tmp}/no --out {tmp}/out", "/no: expected a folder with forecasting data"),
        ("train forecast/vectornet --data {tmp} --out {tmp}/out", "expected scenarios of split 'train'"),
        ("evaluate {tmp}/no --data {data} --out {tmp}/out", "/no: expected a run's folder or its model.safetensors"),
        ("evaluate --data {data} --out {tmp}/out", "expected at least one checkpoint"),
        (
            "train forecast/vectornet --data {data} --out {tmp}/out --batch-scenarios 99",
            "the 99 records that fill a step",
        ),
    ],
)
def test_what_a_user_mistypes_is_said_plainly(
    words: str, said: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.format(tmp=tmp_path, data=data).split()) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"perception {words.split()[0]}: ")
    assert said in err


@pytest.mark.parametrize("words", [["train", "forecast/vectornet"], ["train", "forecast/nothing"], ["evaluate", "x"]])
def test_missing_or_unknown_options_exit_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
