from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from perception.frozen.adapter import Kind, build_adapter
from perception.frozen.trained_state import (
    check_fingerprints,
    fingerprints,
    frozen_block_weights,
    load_trainable_state_dict,
    trainable_state_dict,
)
from perception.frozen.weights import WeightsError

SOURCE = "random:16x24x4?seed=1"


def make_model(source: str = SOURCE, kind: Kind = "language", frozen: bool = True) -> nn.Module:
    """An encoder, the adapter and a head."""
    adapter = build_adapter(10, kind=kind, source=source, frozen=frozen)
    return nn.Sequential(nn.Linear(4, 10), adapter, nn.Linear(10, 2))


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_checkpoint_leaves_out_frozen_blocks_and_restores_the_rest(tmp_path: Path) -> None:
    model, fresh = make_model(), make_model()
    state = trainable_state_dict(model)
    assert set(model.state_dict()) - set(state) == set(frozen_block_weights(model))
    assert not any(".blocks." in name for name in state)
    torch.save({"state_dict": state, "blocks": fingerprints(model)}, tmp_path / "model.ckpt")
    saved = torch.load(tmp_path / "model.ckpt", weights_only=True)
    load_trainable_state_dict(fresh, saved["state_dict"], saved["blocks"])
    assert_equal(fresh.state_dict(), model.state_dict())


def test_a_trained_block_is_kept_in_the_checkpoint() -> None:
    model, fresh = make_model(frozen=False), make_model(frozen=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    load_trainable_state_dict(fresh, trainable_state_dict(model), fingerprints(model))
    assert_equal(fresh.state_dict(), model.state_dict())


def test_other_block_is_refused_by_both_names() -> None:
    model, other = make_model(), make_model(source="random:16x24x4?seed=2")
    with pytest.raises(WeightsError, match=r"around the block random:\S+seed=1#0 .* holds random:\S+seed=2#0"):
        load_trainable_state_dict(other, trainable_state_dict(model), fingerprints(model))


def test_baseline_does_not_load_into_a_model_with_a_block() -> None:
    model, baseline = make_model(), make_model(kind="none")
    with pytest.raises(WeightsError, match="around the block None"):
        check_fingerprints(model, fingerprints(baseline))
    with pytest.raises(WeightsError, match=r"expected adapters at \['1\.'\] as in the model, got \[\]"):
        check_fingerprints(model, {})


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_loading_is_strict_for_everything_else_and_names_the_difference_and_the_cure(change: str) -> None:
    model = make_model()
    state = trainable_state_dict(model)
    if change == "missing":
        del state["1.project_in.weight"]
    elif change == "surplus":
        state["1.project_in.bias"] = torch.ones(16)
    else:
        state["2.weight"] = torch.ones(3, 10)
    with pytest.raises(WeightsError, match=r"this version's Sequential, .* train again, .*(project_in|2\.weight)"):
        load_trainable_state_dict(make_model(), state, fingerprints(model))


def test_an_adapter_by_itself_is_a_model_too() -> None:
    adapter, fresh = build_adapter(10, source=SOURCE), build_adapter(10, source=SOURCE)
    state = trainable_state_dict(adapter)
    assert state.keys() == {"project_in.weight", "project_out.weight", "post_norm.weight", "input_gain"}
    load_trainable_state_dict(fresh, state, fingerprints(adapter))
    assert_equal(fresh.state_dict(), adapter.state_dict())
