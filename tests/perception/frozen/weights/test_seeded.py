from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perception.frozen.weights import WeightsError, load_blocks, memory, random_like, read_config


def test_same_seed_and_index_give_the_same_block() -> None:
    first, again = load_blocks("random:12x20x3?seed=4"), load_blocks("random:12x20x3?seed=4#0")
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != load_blocks("random:12x20x3?seed=5").fingerprint
    two = load_blocks("random:12x20x3?seed=4#0,1")
    assert torch.equal(two.states[0]["q.weight"], first.states[0]["q.weight"])
    assert not torch.equal(two.states[1]["q.weight"], first.states[0]["q.weight"])


def test_source_gives_the_same_blocks_again() -> None:
    blocks = load_blocks("random:12x20x6x2?seed=4#3")
    assert load_blocks(blocks.source).fingerprint == blocks.fingerprint


def test_weights_are_those_of_an_untrained_model() -> None:
    state = load_blocks("random:64x128x4x2").states[0]
    assert state["k.weight"].shape == (32, 64)
    assert state["up.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert torch.equal(state["ffn_norm.weight"], torch.ones(64))
    assert load_blocks("random:64x128x4x2").stored_dtype == "float32"


def test_shape_can_be_that_of_any_other_place(hugging_face_folder: Path) -> None:
    expected = read_config(str(hugging_face_folder))
    assert expected[1] == (2,)
    assert read_config(f"random:{hugging_face_folder}?seed=1") == expected
    blocks = load_blocks(f"random:{hugging_face_folder}?seed=1#-1")
    assert (blocks.config, blocks.layers) == expected


def test_shape_of_smollm2_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path))
    blocks = load_blocks("random:smollm2?seed=0")
    assert (blocks.config.dim, blocks.layers) == (576, (29,))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("smollm2", "random:smollm2?seed=7"),
        ("model.gguf#-1,2", "random:model.gguf?seed=7#-1,2"),
        ("random:12x20x3?seed=1#4", "random:12x20x3?seed=7#4"),
    ],
)
def test_random_twin_of_a_uri(uri: str, expected: str) -> None:
    assert random_like(uri, 7) == expected


@pytest.mark.parametrize(
    "uri", ["random:12x20", "random:12x20x3x1x1", "random:", "random:12x20x3?seed=x", "random:12x20x3?s"]
)
def test_wrong_grammar_is_answered_with_the_right_one(uri: str) -> None:
    with pytest.raises(WeightsError, match=r"expected random:DIMxFFNxHEADS\[xKV_HEADS\]"):
        load_blocks(uri)


def test_layer_from_the_end_is_refused() -> None:
    with pytest.raises(WeightsError, match="no end to count from"):
        load_blocks("random:12x20x3#-1")


@pytest.mark.slow
def test_block_of_llama_7b_size_builds_and_runs() -> None:
    loaded = load_blocks("random:llama-7b?seed=0")
    assert loaded.describe()["parameters"] == 202_383_360
    (block,) = loaded.build()
    x = torch.randn(1, 3, 4096, requires_grad=True)
    out = block(x, None)
    out.sum().backward()
    assert x.grad is not None
    assert out.shape == (1, 3, 4096)
    assert out.isfinite().all()
    assert x.grad.isfinite().all()


def test_blocks_of_any_size_are_not_drawn_because_a_file_names_them() -> None:
    with pytest.raises(WeightsError, match=r"at most 1\.1 billion random weights, got 13\.1; name fewer"):
        load_blocks("random:32768x90000x64")
    with pytest.raises(WeightsError, match=r"at most 1\.1 billion random weights"):
        load_blocks(f"random:llama-7b#{','.join(map(str, range(32)))}")
    with pytest.raises(WeightsError, match=r"ffn_dim: expected a whole number from 1 to 1048576, got 99999999999"):
        load_blocks("random:16x99999999999x4")


def test_blocks_that_do_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000)
    with pytest.raises(WeightsError, match=r"random:64x128x4#0: its weights take 0\.0 GB of memory"):
        load_blocks("random:64x128x4")
