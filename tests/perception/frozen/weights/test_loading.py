from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.frozen.weights import WeightsError, inspect, load_blocks, read_config, write_slice

FIELDS = {
    "source",
    "architecture",
    "dim",
    "heads",
    "kv_heads",
    "ffn_dim",
    "eps",
    "pre_norm",
    "layers",
    "source_layers",
    "parameters",
    "has_final_norm",
    "stored_dtype",
    "files",
    "sliced_from",
    "fingerprint",
}


def test_every_kind_of_place_holds_the_same_block(
    hugging_face_folder: Path,
    write_meta: Callable[..., Path],
    write_gguf: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """One model in four formats has one fingerprint, and each URI loads it again."""
    write_slice(load_blocks(f"{hugging_face_folder}#1"), tmp_path / "cut.safetensors")
    places = [hugging_face_folder, write_meta(), write_meta(2), write_gguf(), tmp_path / "cut.safetensors"]
    found = [load_blocks(f"{place}#1") for place in places]
    assert len({blocks.fingerprint for blocks in found}) == 1
    for blocks in found:
        assert load_blocks(blocks.source).fingerprint == blocks.fingerprint
        assert read_config(blocks.source) == (blocks.config, (1,))


@pytest.mark.parametrize("uri", ["random:12x20x3x1?seed=2#1", "gguf", "hf"])
def test_inspection_is_json_with_every_field(
    uri: str, write_gguf: Callable[..., Path], hugging_face_folder: Path
) -> None:
    place = {"gguf": str(write_gguf()), "hf": str(hugging_face_folder)}.get(uri, uri)
    found = json.loads(json.dumps(inspect(place)))
    assert set(found) == {*FIELDS, "provenance"}
    assert found["architecture"] == "llama"
    assert len(found["fingerprint"]) == 64
    assert found["parameters"] == sum(value.numel() for value in load_blocks(place).states[0].values())


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("smollm2#last", "expected block indices after '#'"),
        ("smollm2#", "expected block indices after '#'"),
        ("/no/such/folder", "/no/such/folder: no such file or folder"),
        ("missing/model.gguf", r"missing/model\.gguf: no such file or folder"),
        ("missing/cut.safetensors", r"missing/cut\.safetensors: no such file or folder"),
        ("missing/model.pth", r"missing/model\.pth: no such file or folder"),
        ("missing/model.bin", r"missing/model\.bin: no such file or folder"),
        ("smollm3", "smollm3: no such file or folder; expected a path, org/name .huggingface.co., smollm2 or random:"),
    ],
)
def test_unusable_uri_is_refused_with_its_reason(uri: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        load_blocks(uri)
    assert "\n" not in str(caught.value)


def test_folder_and_file_of_no_known_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected config\.json .Hugging Face. or params\.json .Meta."):
        load_blocks(str(tmp_path))
    (tmp_path / "weights.zip").write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"weights\.zip: expected a \.gguf or sliced \.safetensors file"):
        load_blocks(str(tmp_path / "weights.zip"))


def test_impossible_shape_names_the_place(hugging_face_folder: Path, change_config: Callable[..., None]) -> None:
    change_config(hugging_face_folder / "config.json", num_key_value_heads=3)
    with pytest.raises(WeightsError, match=r"hf: block: expected kv_heads that divide heads, got 3 and 4"):
        load_blocks(str(hugging_face_folder))
