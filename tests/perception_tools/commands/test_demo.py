"""Whose demo is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.commands import demo as module
from perception_tools.main import main


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    shown: list[tuple[str, Path]] = []

    def resolve(reference: str):
        def demo(out: Path = Path("usual")) -> None:
            """Shows.

            Args:
                out: Where.
            """
            shown.append((reference, out))

        return demo

    monkeypatch.setattr(module, "resolve", resolve)
    return shown


@pytest.mark.parametrize(
    ("words", "task", "out"),
    [
        ("", "forecasting", "usual"),
        ("--out there", "forecasting", "there"),
        ("--task image --out there", "image", "there"),
        ("--out there --task=image", "image", "there"),
    ],
)
def test_it_is_that_of_the_named_task_or_of_the_first(
    words: str, task: str, out: str, shown: list[tuple[str, Path]]
) -> None:
    assert main(["demo", *words.split()]) == 0
    assert shown == [(f"perception_tools.{task}.demo:demo", Path(out))]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [("--task painting", "--task painting: expected a task that has a demo; give one of "), ("--task", "--task NAME")],
)
def test_a_mistake_is_one_sentence(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *words.split()]) == 2
    assert complaint in capsys.readouterr().err


def test_the_help_names_the_tasks(shown: list, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    said = capsys.readouterr().out
    assert "--task NAME chooses another one: forecast" in said
    assert "image" in said
    assert shown == []
