"""Training runs from start to end: what they leave, broken off and gone on with, with towers, on broken data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.image_text.job import image_text_job
from perception_tools.image_text.learning import ImageTextTask
from perception_tools.image_text.model import load_image_text
from perception_tools.image_text.run import ImageTextRun
from perception_tools.training.curves import read_curves
from perception_tools.training.fit import fit

transformers = pytest.importorskip("transformers")
MakeRun = Callable[..., ImageTextRun]


def test_a_run_leaves_its_model_and_its_curves(trained_answers: Path, trained_ranks: Path) -> None:
    answering, ranking = load_image_text(trained_answers), load_image_text(trained_ranks)
    assert set(answering.answers) == {"red", "green", "blue", "yes", "no"}
    assert (answering.training.texts, answering.training.steps) == (48, 12)
    assert (ranking.answers, ranking.training.texts, ranking.training.steps) == ((), 24, 6)
    assert read_curves(trained_answers).keys() >= {"train/loss", "val/accuracy", "val/loss"}
    assert read_curves(trained_ranks).keys() >= {"train/loss", "val/rank1", "val/loss"}


def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(
    make_run: MakeRun,
    trained_ranks: Path,
    fit_broken_off: Callable[..., None],
    assert_same_model: Callable[[Path, Path], None],
    tmp_path: Path,
) -> None:
    """Pictures, false captions and dropout are functions of the step."""
    out = tmp_path / "run"
    fit_broken_off(ImageTextTask, 5, make_run(out, "retrieval"), make_run(out, "retrieval"))
    assert_same_model(out, trained_ranks)


def test_towers_of_the_hub_give_sizes_tokens_and_weights(make_run: MakeRun, tmp_path: Path) -> None:
    image, text = tmp_path / "clip", tmp_path / "roberta"
    sizes = {"intermediate_size": 96, "hidden_size": 24, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(num_hidden_layers=3, image_size=16, patch_size=4, **sizes)
    clip = transformers.CLIPVisionModel(config)
    clip.save_pretrained(image)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz?Ġ", "<mask>"]
    transformers.RobertaTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[]).save_pretrained(text)
    numbers = {"vocab_size": len(tokens), "max_position_embeddings": 40, "type_vocab_size": 1, "pad_token_id": 1}
    roberta = transformers.RobertaModel(transformers.RobertaConfig(num_hidden_layers=2, **numbers, **sizes))
    roberta.save_pretrained(text)
    run = make_run(tmp_path / "run", image_tower=str(image), text_tower=str(text))
    job = image_text_job(run)
    job.save(tmp_path / "model.safetensors", 0)
    loaded = load_image_text(tmp_path / "model.safetensors")
    recipe = loaded.recipe
    assert (recipe.image_dim, recipe.image_depth, recipe.patch) == (24, 2, 4)
    assert (recipe.text_dim, recipe.text_depth, recipe.positions) == (24, 2, 40)
    theirs = roberta.state_dict()["encoder.layer.1.output.dense.weight"]
    assert loaded.model.text.state_dict()["encoder.layer.1.output.dense.weight"].equal(theirs)
    assert len(loaded.model.text.tokenizer) == len(tokens)
    with pytest.raises(InputError, match=r"found no config\.json"):
        image_text_job(make_run(tmp_path / "run", image_tower=str(tmp_path)))


def test_answers_come_from_a_file_or_from_the_training_questions(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "ans2label.json"
    path.write_text(json.dumps({"blue": 1, "red": 0}))
    job = image_text_job(make_run(tmp_path / "run", answers=path))
    job.save(tmp_path / "model.safetensors", 0)
    loaded = load_image_text(tmp_path / "model.safetensors")
    assert loaded.answers == ("red", "blue")
    assert loaded.training.texts == 16, "questions with no known answer are dropped"
    path.write_text('["red"]')
    with pytest.raises(InputError, match="expected at least two answers"):
        image_text_job(make_run(tmp_path / "run", answers=path))
    with pytest.raises(InputError, match=r"given 100 times, found 0; lower --answers-at-least"):
        image_text_job(make_run(tmp_path / "run", recipe={"answers_at_least": 100}))


def test_missing_and_broken_pictures_are_named_and_training_goes_on(
    questions_folder: Path, make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(questions_folder, tmp_path / "data"))
    first, second = sorted((data / "train").iterdir())[:2]
    first.unlink()
    second.write_bytes(b"\xff\xd8\xff")
    fit(make_run(tmp_path / "run", data=data, recipe={"passes": 1}))
    said = capsys.readouterr().out
    assert f"1 of 24 pictures are not there, their records are left out: {first.name}" in said
    assert "1 training pictures could not be read, others took their places" in said
    assert second.name in said
