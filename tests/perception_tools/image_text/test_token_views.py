"""Pictures with questions as tokens to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from perception.errors import InputError
from perception_tools.analysis.filtering.views import Asked
from perception_tools.image_text.model import load_image_text
from perception_tools.image_text.token_views import question_views
from perception_tools.main import main


def test_patches_and_where_the_question_looks_are_those_of_the_model(
    trained_answers: Path, questions_folder: Path
) -> None:
    from perception.models.image_text_stages import read_pair_stages
    from perception_tools.image_text.data import open_questions

    trained = load_image_text(trained_answers)
    views = [view for (view,) in question_views([trained], Asked(questions_folder, limit=3)).records]
    split = open_questions(questions_folder, "val", None, 3)
    assert len(views) == 3
    for view, question in zip(views, split.records, strict=True):
        picture = trained.model.prepare(split.files.decode(question.image_file))
        batch = trained.model.collate([picture], [question.question])
        seen = read_pair_stages(trained.model, batch.images, batch.texts)
        assert view.id == f"{question.id}: {question.question}"
        assert view.attention is not None
        np.testing.assert_allclose(view.attention, seen.text_attention[0].sum(0)[1:].numpy(), rtol=1e-5)
        np.testing.assert_allclose(view.stages["project_out"], seen.block.project_out[0, 1:].numpy(), rtol=1e-5)  # pyright: ignore
        for values in (None, np.linspace(0, 1, 4)):
            axes = Figure().subplots()
            view.draw(axes, values)
            assert len(axes.get_images()) == 1


def test_a_broken_picture_is_named(trained_answers: Path, questions_folder: Path, tmp_path: Path) -> None:
    import shutil

    data = Path(shutil.copytree(questions_folder, tmp_path / "data"))
    sorted((data / "val").iterdir())[0].write_bytes(b"\xff\xd8\xff")
    views = question_views([load_image_text(trained_answers)], Asked(data, limit=3))
    assert len(list(views.records)) == 1
    assert len(views.failures) == 2


def test_what_has_no_answer_to_look_for_is_refused(
    trained_answers: Path, trained_ranks: Path, questions_folder: Path
) -> None:
    asked = Asked(questions_folder)
    with pytest.raises(InputError, match="leave it out"):
        question_views([load_image_text(trained_answers)], replace(asked, masks=questions_folder))
    with pytest.raises(InputError, match="one that ranks captions"):
        question_views([load_image_text(trained_ranks)], asked)


def test_the_command_looks_at_questions(trained_answers: Path, questions_folder: Path, tmp_path: Path) -> None:
    words = ["analyse", "filtering", str(trained_answers), "--data", str(questions_folder), "--limit", "3"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    (page,) = (tmp_path / "out").glob("*.html")
    assert "what color is it?" in page.read_text()
