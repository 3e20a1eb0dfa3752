"""Models of the transformers library from folders and by their names on huggingface.co; nothing goes over a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from perception.encoders.clip_vision import load_clip_vision
from perception.encoders.roberta import load_roberta
from perception.errors import InputError
from perception.hub import is_hub_name

transformers = pytest.importorskip("transformers")
COMMIT = "0" * 40
SIZES = {"hidden_size": 16, "intermediate_size": 64, "num_attention_heads": 2}
TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz?Ġ", "<mask>"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face's, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def _save_towers(folder: Path) -> None:
    """A picture tower and a text tower with a tokenizer, each in a folder of the hub's layout."""
    image = transformers.CLIPVisionConfig(num_hidden_layers=2, image_size=16, patch_size=8, **SIZES)
    transformers.CLIPVisionModel(image).save_pretrained(folder / "clip")
    numbers = {"vocab_size": len(TOKENS), "max_position_embeddings": 20, "type_vocab_size": 1, "pad_token_id": 1}
    text = transformers.RobertaConfig(num_hidden_layers=1, **numbers, **SIZES)
    transformers.RobertaModel(text).save_pretrained(folder / "roberta")
    transformers.RobertaTokenizer(vocab={t: i for i, t in enumerate(TOKENS)}, merges=[]).save_pretrained(
        folder / "roberta"
    )


def _put_in_cache(cache: Path, folder: Path, name: str) -> None:
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, model / "snapshots" / COMMIT)


def test_towers_of_the_hub_are_loaded_by_their_names_from_the_cache(cache: Path, tmp_path: Path) -> None:
    _save_towers(tmp_path)
    for kind in ("clip", "roberta"):
        _put_in_cache(cache, tmp_path / kind, f"someone/{kind}")
    named, local = load_clip_vision("someone/clip"), load_clip_vision(tmp_path / "clip")
    assert all(value.equal(local.state_dict()[key]) for key, value in named.state_dict().items())
    named, local = load_roberta("someone/roberta", 10), load_roberta(str(tmp_path / "roberta"), 10)
    assert all(value.equal(local.state_dict()[key]) for key, value in named.state_dict().items())
    assert named.tokenizer.to_json() == local.tokenizer.to_json()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("load", [load_clip_vision, lambda name: load_roberta(name, 10)])
def test_a_model_that_is_not_there_says_how_to_get_it(load: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match=r"nobody/nothing: there is no such folder here.*go online once, or give") as f:
        load("nobody/nothing")
    assert "(HF_HUB_OFFLINE is set)" in str(f.value)
    assert "\n" not in str(f.value)


def test_a_folder_is_no_name_and_a_path_that_is_not_there_is_no_model(tmp_path: Path) -> None:
    assert is_hub_name("openai/clip-vit-base-patch32")
    assert is_hub_name("roberta-base")
    for place in (str(tmp_path), tmp_path, "/no/such/folder", "./folder", "a/b/c", ""):
        assert not is_hub_name(place)
    with pytest.raises(InputError, match=r"found no config\.json"):
        load_clip_vision("/no/such/folder")
