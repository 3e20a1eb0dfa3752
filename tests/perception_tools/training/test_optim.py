"""Parameter groups, learning rates and clipping, against timm and the schedules of the papers' code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer
from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]
from timm.scheduler import create_scheduler_v2  # pyright: ignore[reportPrivateImportUsage]
from torch import nn

from perception.errors import InputError
from perception_tools.training.optim import (
    LearningRate,
    clip_gradients,
    cosine_factor,
    make_optimizer,
    parameter_groups,
    stepped_factor,
)
from perception_tools.training.recipes import BlockRecipe, LearningRecipe, OptimizerRecipe, ScheduleRecipe


def vit() -> VisionTransformer:
    return VisionTransformer(img_size=32, patch_size=16, embed_dim=12, depth=3, num_heads=2, num_classes=5)


class Composed(nn.Module):
    """An encoder with layers, a block and a head, as the models of this project are."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = vit()
        self.encoder.reset_classifier(0)
        self.adapter = nn.Linear(12, 12)
        self.head = nn.Linear(12, 5)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        assert not coarse
        return {"stem": r"^encoder\.(?:cls_token|pos_embed|patch_embed)", "blocks": r"^encoder\.blocks\.(\d+)"}

    def named(self) -> dict[str, list[nn.Parameter]]:
        return {"block": list(self.adapter.parameters()), "head": list(self.head.parameters())}


def by_parameter(model: nn.Module, groups: list[dict]) -> dict[str, dict]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group for group in groups for parameter in group["params"]}


def rates(recipe: LearningRecipe, steps: int, groups: int = 1) -> Iterator[list[float]]:
    """Rates of every step, as a training loop sees them."""
    parameters = [{"params": [nn.Parameter(torch.zeros(1))], "lr": recipe.learning_rate / 2**i} for i in range(groups)]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    rate = LearningRate(optimizer, recipe, steps)
    for step in range(steps):
        yield [group["lr"] for group in optimizer.param_groups]
        rate.set_step(step + 1)


@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_decay_and_layers_are_those_of_timm(layer_decay: float) -> None:
    model = vit()
    recipe = LearningRecipe(weight_decay=0.05, optimizer=OptimizerRecipe(layer_decay=layer_decay))
    ours = by_parameter(model, parameter_groups(model, {}, recipe))
    theirs = create_optimizer_v2(
        model, "adamw", lr=1.0, weight_decay=0.05, layer_decay=None if layer_decay == 1 else layer_decay
    )
    expected = by_parameter(model, theirs.param_groups)
    assert ours.keys() == expected.keys()
    for name, group in expected.items():
        assert ours[name]["weight_decay"] == group["weight_decay"], name
        assert ours[name]["lr_scale"] == group.get("lr_scale", 1.0), name
    assert ours["pos_embed"]["weight_decay"] == 0


def test_what_the_layers_do_not_match_counts_as_the_last_layer() -> None:
    model = Composed()
    recipe = LearningRecipe(optimizer=OptimizerRecipe(layer_decay=0.5))
    groups = by_parameter(model, parameter_groups(model, model.named(), recipe))
    scales = {name: group["lr_scale"] for name, group in groups.items()}
    assert scales["encoder.cls_token"] == 0.5**4
    assert [scales[f"encoder.blocks.{layer}.mlp.fc1.weight"] for layer in range(3)] == [0.125, 0.25, 0.5]
    assert scales["adapter.weight"] == scales["head.weight"] == scales["encoder.norm.weight"] == 1
    names = [group["name"] for group in parameter_groups(model, model.named(), recipe)]
    assert len(set(names)) == len(names)
    assert {"head/layer_04", "block/layer_04/no_decay", "rest/layer_00/no_decay"} <= set(names)


def test_no_weight_decay_of_any_part_of_the_model_counts() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias_table = nn.Parameter(torch.zeros(2, 2))
            self.weight = nn.Parameter(torch.zeros(2, 2))

        def no_weight_decay(self) -> set[str]:
            return {"bias_table"}

    model = nn.ModuleDict({"deep": nn.ModuleDict({"table": Table()})})
    model["cls_token"] = nn.Linear(2, 2)  # a module of this name is no class token
    groups = by_parameter(model, parameter_groups(model, {}, LearningRecipe(weight_decay=0.3)))
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    assert decays == {
        "deep.table.bias_table": 0,
        "deep.table.weight": 0.3,
        "cls_token.weight": 0.3,
        "cls_token.bias": 0,
    }


def test_named_groups_have_their_own_rates_and_decays() -> None:
    """METER: the head learns 50 times as fast as the encoders; Point-BERT: no decay of the projections."""
    model = Composed()
    own = OptimizerRecipe(group_rates={"head": 50.0, "rest": 0.5}, group_weight_decays={"block": 0.0})
    recipe = LearningRecipe(
        learning_rate=1e-4, weight_decay=0.01, optimizer=own, block=BlockRecipe(learning_rate_multiplier=10.0)
    )
    groups = by_parameter(model, parameter_groups(model, model.named(), recipe))
    expected = {"head.weight": 5e-3, "head.bias": 5e-3, "adapter.weight": 1e-3, "encoder.cls_token": 5e-5}
    assert {name: groups[name]["lr"] for name in expected} == pytest.approx(expected)
    assert groups["adapter.weight"]["weight_decay"] == groups["head.bias"]["weight_decay"] == 0
    assert groups["head.weight"]["weight_decay"] == groups["encoder.blocks.0.attn.qkv.weight"]["weight_decay"] == 0.01


def test_every_trainable_parameter_is_in_one_group_in_the_models_order() -> None:
    model = Composed()
    model.adapter.weight.requires_grad_(False)
    groups = parameter_groups(model, model.named(), LearningRecipe())
    order = {id(parameter): place for place, parameter in enumerate(model.parameters())}
    places = [[order[id(parameter)] for parameter in group["params"]] for group in groups]
    assert sorted(place for group in places for place in group) == sorted(
        order[id(p)] for p in model.parameters() if p.requires_grad
    )
    assert all(group == sorted(group) for group in places)
    assert [group[0] for group in places] == sorted(group[0] for group in places)


def test_a_parameter_of_two_groups_is_a_bug() -> None:
    model = Composed()
    with pytest.raises(ValueError, match="in one of them"):
        parameter_groups(model, {**model.named(), "again": list(model.head.parameters())}, LearningRecipe())


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ({"group_rates": {"heads": 2.0}}, r"group_rates: .*\(block, head, rest\), got 'heads'; did you mean head\?"),
        ({"group_weight_decays": {"text": 0.1}}, r"group_weight_decays: .*got 'text'; use one of them"),
        ({"opt": "adamv"}, r"optimizer\.opt: .*got 'adamv'; did you mean adam"),
    ],
)
def test_names_that_are_not_there_are_refused(own: dict, complaint: str) -> None:
    model = Composed()
    with pytest.raises(InputError, match=complaint):
        make_optimizer(model, model.named(), LearningRecipe(optimizer=OptimizerRecipe(**own)))


def test_layer_decay_of_a_model_without_layers_is_refused() -> None:
    with pytest.raises(InputError, match=r"layer_decay=0\.7: .*group_matcher.*got Linear"):
        parameter_groups(nn.Linear(2, 2), {}, LearningRecipe(optimizer=OptimizerRecipe(layer_decay=0.7)))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_optimiser_is_adamw_with_the_recipes_numbers(precision: Any) -> None:
    model = Composed()
    recipe = LearningRecipe(precision=precision, optimizer=OptimizerRecipe(betas=(0.9, 0.98), eps=1e-6))
    optimizer = make_optimizer(model, model.named(), recipe)
    assert type(optimizer) is torch.optim.AdamW
    for group in optimizer.param_groups:
        assert (group["betas"], group["eps"], group["fused"]) == ((0.9, 0.98), 1e-6, precision == "32-true")


@pytest.mark.parametrize("opt", ["sgd", "adam", "lamb"])
def test_other_optimisers_of_timm_learn_too(opt: str) -> None:
    model = nn.Linear(2, 1)
    recipe = LearningRecipe(learning_rate=0.1, optimizer=OptimizerRecipe(opt=opt))
    optimizer = make_optimizer(model, {}, recipe)
    before = model.weight.detach().clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.weight, before)


@pytest.mark.parametrize(
    ("step", "warmup", "total", "expected"),
    [
        (0, 10, 100, 0.1),
        (4, 10, 100, 0.5 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.04)))),
        (50, 10, 100, 0.01 + 0.99 * 0.5),
        (100, 10, 100, 0.01),
        (250, 10, 100, 0.01),
        (0, 0, 100, 1.0),
        (0, 1, 0, 1.0),
    ],
)
def test_the_cosine_warms_up_and_ends_at_one_percent(step: int, warmup: int, total: int, expected: float) -> None:
    assert cosine_factor(step, warmup, total) == pytest.approx(expected)


def test_steps_divide_by_ten_after_10_15_and_20_of_30_passes() -> None:
    factors = [stepped_factor(step, warmup=0, total=300) for step in (0, 99, 100, 149, 150, 199, 200, 299)]
    assert factors == [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert stepped_factor(0, warmup=4, total=300) == 0.25


@pytest.mark.parametrize(("schedule", "factor"), [("cosine", cosine_factor), ("steps", stepped_factor)])
def test_every_group_follows_the_factor_from_its_own_rate(schedule: Any, factor: Any) -> None:
    recipe = LearningRecipe(schedule=schedule, warmup_steps=3, learning_rate=0.2)
    for step, (first, second) in enumerate(rates(recipe, 12, groups=2)):
        assert (first, second) == (0.2 * factor(step, 3, 12), 0.1 * factor(step, 3, 12))


def test_deit_by_epoch_as_its_code_does_it() -> None:
    """DeiT's main.py calls `lr_scheduler.step(epoch)` after each epoch: epochs 0 and 1 both run at the warm-up rate."""
    passes, steps = 30, 4
    schedule = ScheduleRecipe(schedule_by="pass", warmup_passes=5, warmup_lr=1e-6, min_lr=1e-5, delay_passes=1)
    recipe = LearningRecipe(
        passes=passes, learning_rate=1e-3, warmup_steps=0, schedule="timm-cosine", timm_schedule=schedule
    )
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs: Any  # None for the name "none" only
    theirs, _ = create_scheduler_v2(optimizer, num_epochs=passes, warmup_epochs=5, warmup_lr=1e-6, min_lr=1e-5)
    expected = []
    for epoch in range(passes):
        expected += steps * [optimizer.param_groups[0]["lr"]]
        theirs.step(epoch)
    ours = [rate for (rate,) in rates(recipe, passes * steps)]
    assert ours == expected
    assert ours[0] == ours[2 * steps - 1] == 1e-6
    assert ours[6 * steps] == 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + math.cos(math.pi * 5 / passes))


def test_point_bert_stays_at_the_minimum_in_its_last_passes() -> None:
    schedule = ScheduleRecipe(schedule_by="pass", warmup_passes=2, warmup_lr=1e-6, min_lr=1e-6, cooldown_passes=2)
    recipe = LearningRecipe(passes=12, learning_rate=5e-4, schedule="timm-cosine", timm_schedule=schedule)
    ours = [rate for (rate,) in rates(recipe, 12)]
    assert ours[10:] == [1e-6, 1e-6]
    assert ours[9] > 1e-5


def test_video_mae_warms_up_from_zero_and_decays_by_step() -> None:
    """VideoMAE's `cosine_scheduler`: a linear warm-up before the cosine, both by step."""
    passes, per_pass, peak, final = 10, 20, 1e-4, 1e-6
    schedule = ScheduleRecipe(warmup_passes=2, warmup_prefix=True, min_lr=final)
    recipe = LearningRecipe(passes=passes, learning_rate=peak, schedule="timm-cosine", timm_schedule=schedule)
    warmup, total = 2 * per_pass, passes * per_pass
    ours = [rate for (rate,) in rates(recipe, total)]
    assert ours[:warmup] == pytest.approx([peak * step / warmup for step in range(warmup)])
    rest = total - warmup
    cosine = [final + 0.5 * (peak - final) * (1 + math.cos(math.pi * step / rest)) for step in range(rest)]
    assert ours[warmup:] == pytest.approx(cosine)


def test_meter_decays_polynomially_as_transformers_does() -> None:
    transformers = pytest.importorskip("transformers")
    peak, total = 5e-6, 100
    schedule = ScheduleRecipe(warmup_passes=1, warmup_prefix=True)
    recipe = LearningRecipe(passes=10, learning_rate=peak, schedule="timm-poly", timm_schedule=schedule)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    theirs = transformers.get_polynomial_decay_schedule_with_warmup(optimizer, 10, total, lr_end=0, power=1)
    for (ours,) in rates(recipe, total):
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-15)
        optimizer.step()
        theirs.step()


def test_layer_decay_scales_the_scheduled_rate() -> None:
    model = Composed()
    schedule = ScheduleRecipe(warmup_passes=1, warmup_lr=1e-5, min_lr=1e-6)
    own = OptimizerRecipe(layer_decay=0.5)
    recipe = LearningRecipe(passes=5, learning_rate=1e-3, schedule="timm-cosine", timm_schedule=schedule, optimizer=own)
    optimizer = make_optimizer(model, model.named(), recipe)
    rate = LearningRate(optimizer, recipe, 50)
    for step in (0, 5, 20, 50):
        rate.set_step(step)
        groups = by_parameter(model, optimizer.param_groups)
        full = groups["head.weight"]["lr"]
        assert groups["encoder.blocks.2.mlp.fc1.weight"]["lr"] == full * 0.5
        assert groups["encoder.cls_token"]["lr"] == full * 0.5**4


@given(passes=st.integers(1, 40), per_pass=st.integers(1, 7), delay=st.integers(0, 2))
def test_by_pass_the_rate_changes_between_passes_only(passes: int, per_pass: int, delay: int) -> None:
    schedule = ScheduleRecipe(schedule_by="pass", min_lr=1e-6, delay_passes=delay)
    recipe = LearningRecipe(passes=passes, schedule="timm-cosine", timm_schedule=schedule)
    ours = [rate for (rate,) in rates(recipe, passes * per_pass)]
    by_pass = [ours[number * per_pass : (number + 1) * per_pass] for number in range(passes)]
    assert all(len(set(part)) == 1 for part in by_pass)
    firsts = [part[0] for part in by_pass]
    assert firsts == sorted(firsts, reverse=True)
    assert len(set(firsts)) == max(passes - delay, 1)


def test_the_rate_depends_on_the_step_alone() -> None:
    """So a resumed run goes on as an unbroken one, whatever its checkpoint says of the schedule."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    recipe = LearningRecipe(learning_rate=0.1, warmup_steps=4)
    rate = LearningRate(optimizer, recipe, 20)
    rate.load_state_dict({"last_epoch": 7, "base_lrs": [3.0]})
    rate.set_step(9)
    assert optimizer.param_groups[0]["lr"] == 0.1 * cosine_factor(9, 4, 20)
    assert rate.state_dict() == {}


@pytest.mark.parametrize(
    ("recipe", "complaint"),
    [
        (LearningRecipe(schedule="timm-cosine", warmup_steps=5), "warmup_steps=5; set warmup_steps to 0"),
        (LearningRecipe(timm_schedule=ScheduleRecipe(warmup_passes=5)), "choose one of them"),
        (
            LearningRecipe(
                passes=3,
                schedule="timm-poly",
                timm_schedule=ScheduleRecipe(warmup_passes=2, warmup_prefix=True, cooldown_passes=1),
            ),
            "fewer than the 3 passes .* got 2 and 1",
        ),
    ],
)
def test_a_schedule_that_contradicts_itself_is_refused(recipe: LearningRecipe, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        list(rates(recipe, 30))


def test_groups_are_clipped_apart() -> None:
    model = nn.ModuleDict({"large": nn.Linear(2, 2), "small": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    for name, value in (("large", 100.0), ("small", 1e-3), ("other", 7.0)):
        for parameter in model[name].parameters():
            parameter.grad = torch.full_like(parameter, value)
    apart = [list(model[name].parameters()) for name in ("large", "small")]
    before = math.hypot(*(float(p.grad.norm()) for p in model.parameters() if p.grad is not None))
    assert float(clip_gradients(model, apart, 0.0)) == pytest.approx(before, rel=1e-5), "0 does not clip"
    assert float(clip_gradients(model, apart, 1.0)) == pytest.approx(before, rel=1e-5)

    def norm(name: str) -> float:
        return math.hypot(*(float(p.grad.norm()) for p in model[name].parameters() if p.grad is not None))

    assert norm("large") == pytest.approx(1, rel=1e-4)
    assert norm("small") == pytest.approx(1e-3 * math.sqrt(6), rel=1e-4)
    assert norm("other") == pytest.approx(1, rel=1e-4)


def test_a_rate_drops_after_the_passes_that_are_named() -> None:
    schedule = ScheduleRecipe(decay_passes=(2, 3), decay_rate=0.25)
    recipe = LearningRecipe(passes=4, learning_rate=0.8, schedule="timm-multistep", timm_schedule=schedule)
    assert [rate for (rate,) in rates(recipe, 8)] == pytest.approx([0.8] * 4 + [0.2] * 2 + [0.05] * 2)
