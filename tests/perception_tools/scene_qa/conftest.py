"""The questions that the files in `written` answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_datasets.sqa3d.questions import Sqa3dQuestion, read_questions

WRITTEN = Path(__file__).parents[1] / "answer_files" / "written"


@pytest.fixture
def asked() -> list[Sqa3dQuestion]:
    """Five questions: two in one scene differ in their situation alone, two in another do not differ in words."""
    return read_questions(WRITTEN / "questions.json", WRITTEN / "annotations.json")
