"""The command itself: finds its sub-commands, and never shows a traceback for a user's mistake."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from perception.errors import InputError
from perception_tools.main import COMMANDS, GROUPS, all_commands, main
from perception_tools.tasks import Command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Makes `perception try` raise or return something."""

    def make(outcome: object) -> None:
        def attempt() -> object:
            """Does what the test wants."""
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = ModuleType("a_command")
        module.__dict__["attempt"] = attempt
        monkeypatch.setitem(sys.modules, "a_command", module)
        monkeypatch.setitem(COMMANDS, "try", Command("a_command:attempt", "try something", "bench"))

    return make


@pytest.mark.parametrize("name", all_commands())
def test_every_word_leads_to_a_documented_function(name: str) -> None:
    module, function = all_commands()[name].function.split(":")
    assert getattr(import_module(module), function).__doc__


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_under_its_heading(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    sections = dict(part.split(":\n", 1) for part in capsys.readouterr().out.split("\n\n")[2:-1])
    assert list(sections) == list(GROUPS.values())
    for name, command in all_commands().items():
        if command.group:
            assert f"  {name:<20} {command.summary}" in sections[GROUPS[command.group]].splitlines()


def test_a_former_command_works_without_being_listed(capsys: pytest.CaptureFixture[str]) -> None:
    former = [name for name, command in all_commands().items() if not command.group]
    assert former == ["evaluate scene-qa"]
    main(["--help"])
    assert not any(name in capsys.readouterr().out for name in former)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "--data", "x"], "no command 'trian'; did you mean perception train? The commands are:"),
        (["block", "fodl", "run"], "no command 'block fodl'; did you mean perception block fold?"),
        (["repaly", "log"], "no command 'repaly log'; did you mean perception replay?"),
        (["prepare", "sqa"], "no command 'prepare sqa'; did you mean perception prepare sqa3d?"),
        (["xyzzy"], "no command 'xyzzy'; the commands are:"),
        (["--hepl"], "no command '--hepl'; "),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest_and_all_that_there_are(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"perception: {said}")
    listed = [name for name, command in all_commands().items() if command.group]
    own = [name for name in listed if name.split()[0] == words[0]]
    assert all(name in err for name in own or listed)


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        ("train forecast/vectornet --data d --out o --learnin-rate 1", "--learning-rate"),
        ("bench block --cases frame --repaet 3", "--repeat"),
        ("prepare scannet raw store --proceses 2", "--processes"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest(
    words: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert "Perhaps you meant" in err
    assert nearest in err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"frozen-perception {version('frozen-perception')}\n"


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


def test_what_a_command_gives_is_written_as_json_where_that_is_wanted(command, tmp_path: Path) -> None:
    command({"min_fde": 1.5})
    file = tmp_path / "new" / "given.json"
    assert main(["try", "--json", str(file)]) == 0
    assert json.loads(file.read_text()) == {"min_fde": 1.5}
    assert main(["block", "inspect", "random:12x20x6x2?seed=3", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["dim"] == 12


@pytest.mark.parametrize("words", [["--json"], ["--json", "--other"]])
def test_json_without_a_file_is_refused_before_anything_is_done(
    command, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command(RuntimeError("it was done"))
    assert main(["try", *words]) == 2
    assert capsys.readouterr().err == "perception try: --json: expected a file to write; give --json FILE\n"


def test_nothing_is_written_where_a_command_fails(command, tmp_path: Path) -> None:
    command(InputError("no"))
    assert main(["try", "--json", str(tmp_path / "given.json")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_bench_writes_its_numbers_to_a_file(tmp_path: Path) -> None:
    options = f"--points 200 --centres 20 --repeat 1 --json {tmp_path / 'times.json'}"
    assert main(["bench", "cloud", *options.split()]) == 0
    assert json.loads((tmp_path / "times.json").read_text())["points"] == 200


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
        ("train forecast/vectornet --data {tmp}/empty --out {tmp}/out", "expected scenarios of split 'train'"),
        ("evaluate {tmp}/no --data {data} --out {tmp}/out", "/no: expected a run's folder or its model.safetensors"),
        ("evaluate --data {data} --out {tmp}/out", "expected at least one run, got none"),
        (
            "train forecast/vectornet --data {data} --out {tmp}/out --batch-scenarios 99",
            "the 99 records that fill a step",
        ),
    ],
)
def test_what_a_user_mistypes_is_said_plainly(
    words: str, said: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(words.format(tmp=tmp_path, data=data).split()) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"perception {words.split()[0]}: ")
    assert said in err


@pytest.mark.parametrize("words", ["train forecast/vectornet", "replay", "block fold run", "score sqa3d p.json"])
def test_missing_options_exit_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
