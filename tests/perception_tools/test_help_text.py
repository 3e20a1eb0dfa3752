from __future__ import annotations

import pytest

from perception_tools.help_text import join_lines
from perception_tools.main import main
from perception_tools.scene_qa.score import score_sqa3d

FULL = f"    {'word ' * 22}word."  # 119 columns


def test_a_line_that_was_full_goes_on_in_the_next() -> None:
    assert join_lines(f"{FULL}\n    Longer.\nEnd.") == f"{FULL} Longer.\nEnd."
    assert join_lines(f"{FULL}\n        {FULL.strip()}\n    `One` more.") == f"{FULL} {FULL.strip()} `One` more."


def test_a_sentence_that_breaks_off_goes_on_in_the_next_line() -> None:
    assert join_lines("    It is counted\n        on the questions.\n    Next.") == (
        "    It is counted on the questions.\n    Next."
    )


def test_breaks_that_are_meant_stay() -> None:
    for text in (
        f"{FULL[5:]}\n    Next.",
        f"{FULL}\n\n    Longer.",
        f"{FULL}\n    out: A file.",
        "",
        "Args:\n  One.\n",
    ):
        assert join_lines(text) == text


def test_a_commands_help_is_joined_and_keeps_its_lists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["score", "sqa3d", "--help"])
    shown = capsys.readouterr().out
    assert "stand at the top, the others' under `others`; `paired` compares the first" in shown
    assert "as one more system. It is counted on the questions themselves" in (score_sqa3d.__doc__ or "")
    assert "whatever the file's name.\n" in (score_sqa3d.__doc__ or "")
