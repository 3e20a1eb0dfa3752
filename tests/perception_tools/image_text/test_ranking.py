"""Scores of pairs: towers once, in parts of any size, resumed after a stop, refused for another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.models.image_text import ImageText
from perception.tokens import Tokens
from perception_tools.image_text import ranking
from perception_tools.image_text.model import load_image_text
from perception_tools.image_text.ranking import encode_captions, score_pairs, score_row, score_shortlist

TEXTS = ["a red square", "a square", "blue", "a square that is green number 3", "red red red"]


@pytest.fixture(scope="module")
def model(trained_ranks: Path) -> ImageText:
    return load_image_text(trained_ranks).model


@pytest.fixture(scope="module")
def pictures(model: ImageText) -> Sequence[torch.Tensor]:
    torch.manual_seed(0)
    with torch.inference_mode():
        return list(model.encode_image(torch.randn(4, 3, 16, 16)).values)


@pytest.mark.parametrize("pairs", [1, 2, 100])
def test_scores_do_not_depend_on_the_parts(model: ImageText, pictures: Sequence[torch.Tensor], pairs: int) -> None:
    captions = encode_captions(model, TEXTS, 2)
    row = score_row(model, pictures[0], captions, pairs)
    for number, text in enumerate(TEXTS):
        with torch.inference_mode():
            image = Tokens(pictures[0][None], torch.ones(1, len(pictures[0]), dtype=torch.bool))
            expected = model.rank(model.fuse(image, model.encode_text(model.text.batch([text]))))
        assert row[number] == pytest.approx(float(expected), abs=1e-5)


def test_a_stop_loses_one_picture_at_most(
    model: ImageText, pictures: Sequence[torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions, path = encode_captions(model, TEXTS, 8), tmp_path / "pairs" / "0.npy"
    scored: list[int] = []

    def counted(*args: object) -> np.ndarray:
        scored.append(1)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return score_row(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(ranking, "score_row", counted)
    with pytest.raises(KeyboardInterrupt):
        score_pairs(model, pictures, captions, path)
    found = score_pairs(model, pictures, captions, path)
    assert len(scored) == 3 + 2
    assert found.tolist() == [score_row(model, picture, captions, 256).tolist() for picture in pictures]


def test_scores_of_others_are_not_taken_for_ours(
    model: ImageText, pictures: Sequence[torch.Tensor], tmp_path: Path
) -> None:
    captions, path = encode_captions(model, TEXTS, 8), tmp_path / "0.npy"
    score_pairs(model, pictures, captions, path)
    with pytest.raises(InputError, match="expected scores of this model on these pictures"):
        score_pairs(model, pictures, captions[::-1], path)
    changed = {name: value.clone() for name, value in model.state_dict().items()}
    model.rank_output.bias.data.add_(1)  # pyright: ignore[reportOptionalMemberAccess]
    with pytest.raises(InputError, match="expected scores of this model"):
        score_pairs(model, pictures, captions, path)
    model.load_state_dict(changed)


def test_the_projected_time_is_said_once(
    model: ImageText, pictures: Sequence[torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "_PROJECT_AFTER_S", 0.0)
    said: list[str] = []
    say: Callable[[str], None] = said.append
    score_pairs(model, pictures, encode_captions(model, TEXTS, 8), tmp_path / "0.npy", say=say)
    (line,) = said
    assert "pairs/s, about" in line
    assert "for 15 more pairs" in line


def test_a_shortlist_scores_its_pairs_alone_goes_on_after_a_stop_and_ranks_others_last(
    model: ImageText, pictures: Sequence[torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions, path, picture_of = encode_captions(model, TEXTS, 8), tmp_path / "0.npy", np.array([0, 1, 2, 3, 3])
    full = score_pairs(model, pictures, captions, tmp_path / "full.npy")
    scored: list[int] = []
    stops: list[int] = []

    def counted(*args: Any) -> np.ndarray:
        if len(scored) == 2 and not stops:
            stops.append(1)
            raise KeyboardInterrupt
        scored.append(len(args[2]))
        return score_row(*args)

    monkeypatch.setattr(ranking, "score_row", counted)
    with pytest.raises(KeyboardInterrupt):
        score_shortlist(model, pictures, captions, path, picture_of, 1)
    found = score_shortlist(model, pictures, captions, path, picture_of, 1)
    assert found.shortlist is not None
    assert found.shortlist["scored"] == sum(scored) < found.shortlist["of"] == 20
    kept = np.isfinite(found.table)
    np.testing.assert_allclose(found.table[kept], full[kept], atol=1e-5)
    assert (found.table[~kept] == -np.inf).all()
    assert found.shortlist["checked"]["text_retrieval"]["queries"] == 1
    everything = score_shortlist(model, pictures, captions, path, picture_of, 4)
    np.testing.assert_allclose(everything.table, full, atol=1e-5)
