from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from perception.encoders.point_bert import PointBert, PointBertSize
from perception.encoders.point_bert_weights import load_point_bert
from perception.encoders.vit import VitSize
from perception.frozen.weights import WeightsError
from perception.heads.classification import ClsMaxHead

SIZE = PointBertSize(VitSize(24, 2, 3), 16)
State = dict[str, Tensor]


def encoder(seed: int) -> PointBert:
    torch.manual_seed(seed)
    return PointBert(SIZE, 4)


def of_pretraining(state: State) -> State:
    """As `Point-BERT.pth` names them: two encoders and a tokeniser, trained by several processes."""
    extra = {
        "cls_head.0.weight": torch.ones(5, 24),
        "lm_head.weight": torch.ones(9, 24),
        "mask_token": torch.ones(1, 1, 24),
    }
    ours = {f"module.transformer_q.{name}": value for name, value in (state | extra).items()}
    others = {f"module.transformer_k.{name}": torch.zeros_like(value) for name, value in state.items()}
    return ours | others | {"module.dvae.codebook": torch.ones(3, 3)}


def of_fine_tuning(state: State) -> State:
    head = {f"cls_head_finetune.{n}": v for n, v in ClsMaxHead(24, 5, 8).mlp.state_dict().items()}
    return {f"module.{name}": value for name, value in (state | head).items()}


@pytest.mark.parametrize("names", [of_pretraining, of_fine_tuning, dict])
def test_published_names_load_completely(names: Callable[[State], State], tmp_path: Path) -> None:
    theirs, mine = encoder(1), encoder(2)
    torch.save({"base_model": names(dict(theirs.state_dict()))}, tmp_path / "Point-BERT.pth")
    load_point_bert(tmp_path / "Point-BERT.pth", mine)
    for name, value in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[name], value), name


def test_a_fine_tuned_head_is_loaded_with_the_encoder(tmp_path: Path) -> None:
    state = of_fine_tuning(dict(encoder(1).state_dict()))
    torch.save({"base_model": state}, tmp_path / "a.pth")
    head = ClsMaxHead(24, 5, 8).mlp
    load_point_bert(tmp_path / "a.pth", encoder(2), head)
    assert torch.equal(head.state_dict()["3.weight"], state["module.cls_head_finetune.3.weight"])
    with pytest.raises(WeightsError, match="its head is of other classes"):
        load_point_bert(tmp_path / "a.pth", encoder(2), ClsMaxHead(24, 6, 8).mlp)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("norm.bias"), "lacks norm.bias"),
        (lambda state: state.update(extra=torch.ones(1)), "does not have, extra"),
        (lambda state: state.update({"norm.bias": torch.ones(3)}), "of shape"),
        (lambda state: state.update({"norm.bias": torch.full((24,), torch.nan)}), "finite"),
    ],
)
def test_anything_else_is_refused_and_nothing_is_loaded(
    change: Callable[[State], object], message: str, tmp_path: Path
) -> None:
    state = dict(encoder(1).state_dict())
    change(state)
    torch.save({"base_model": state}, tmp_path / "a.pth")
    mine = encoder(2)
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_point_bert(tmp_path / "a.pth", mine)
    assert all(torch.equal(mine.state_dict()[name], value) for name, value in before.items())
