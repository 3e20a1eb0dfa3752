from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

from perception.frozen.weights import WeightsError, load_blocks

COMMIT = "0" * 40


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face's, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put_in_cache(cache: Path, folder: Path, names: list[str], absent: list[str]) -> None:
    """Lays a model out as huggingface_hub caches it, with the names that it knows to be absent."""
    model = cache / "models--someone--model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots" / COMMIT).mkdir(parents=True)
    for name in names:
        shutil.copy(folder / name, model / "snapshots" / COMMIT / name)
    for name in absent:
        marker = model / ".no_exist" / COMMIT / name
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def test_cached_model_needs_no_network_and_no_shard_without_the_block(
    hub_cache: Path, hugging_face_folder: Path, assert_same_block: Callable[[dict[str, torch.Tensor], int], None]
) -> None:
    needed = {path.name for path in load_blocks(f"{hugging_face_folder}#0").files}
    shards = {path.name for path in hugging_face_folder.glob("*.safetensors")}
    assert needed < shards, "the model must be in more files than the block"
    names = ["config.json", "model.safetensors.index.json", *needed]
    put_in_cache(hub_cache, hugging_face_folder, names, ["model.safetensors"])
    blocks = load_blocks("someone/model#0")
    assert_same_block(blocks.states[0], 0)
    assert blocks.source == "someone/model#0"
    with pytest.raises(WeightsError, match=r"someone/model: .* neither in Hugging Face's cache nor"):
        load_blocks("someone/model#2")


def test_only_the_shards_with_the_block_are_downloaded(
    hub_cache: Path, hugging_face_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded = []

    def download(repository: str, name: str) -> str:
        """Stands for the server: the network is the one thing that is not real here."""
        assert repository == "someone/model"
        if not (hugging_face_folder / name).exists():
            raise EntryNotFoundError("no such file")
        downloaded.append(name)
        return str(hugging_face_folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert not hub_cache.exists()
    blocks = load_blocks("someone/model#0")
    shards = {name for name in downloaded if name.endswith(".safetensors")}
    assert shards == {path.name for path in blocks.files}
    assert shards < {path.name for path in hugging_face_folder.glob("*.safetensors")}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ConnectionError(),
            r"someone/model: there is no such folder here, and config\.json is neither in .*'s cache nor",
        ),
        (
            RepositoryNotFoundError("404", response=MagicMock()),
            r"someone/model: .* no such model on huggingface\.co that you may read; .* `hf auth login`",
        ),
    ],
)
def test_what_cannot_be_downloaded_is_named(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    def download(*_: str) -> str:
        raise error

    assert not hub_cache.exists()
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(WeightsError, match=message):
        load_blocks("someone/model")


def test_without_network_and_cache_the_cure_is_named(hub_cache: Path) -> None:
    assert not hub_cache.exists()
    with pytest.raises(
        WeightsError, match=r"^someone/model: there is no such folder here, and config\.json is .*go online once"
    ):
        load_blocks("someone/model")
