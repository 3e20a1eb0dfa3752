"""The paper's ablations by name: which cells they have, for which recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import OPTConfig

from perception.errors import InputError
from perception_tools.analysis.sweep.plan import PlannedRun, Sweep
from perception_tools.analysis.sweep.presets import PRESETS
from perception_tools.commands.sweep import read_sweep

Plan = Callable[..., Sweep]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "data").mkdir()

    def make(preset: str, recipe: str = "image/vit-micro", *more: str) -> Sweep:
        places = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
        return read_sweep([recipe, "--preset", preset, "--seeds", "0", *places, *more])

    return make


def block_of(run: PlannedRun) -> tuple[str, bool, str]:
    block = run.run.recipe.block
    return block.kind, block.frozen, block.source


def kinds_of(sweep: Sweep) -> list[tuple[str, bool]]:
    return [block_of(run)[:2] for run in sweep.runs]


def test_the_controls_are_every_kind_of_block(plan: Plan) -> None:
    assert kinds_of(plan("controls")) == [
        ("none", True),
        ("language", True),
        ("random", True),
        ("random", False),
        ("mlp", True),
        ("language", False),
    ]


def test_tables_6_and_b_have_the_papers_rows(plan: Plan) -> None:
    assert kinds_of(plan("table-6")) == [("none", True), ("language", True), ("mlp", True), ("language", False)]
    assert kinds_of(plan("table-b")) == [("none", True), ("language", True), ("mlp", True), ("random", False)]


def test_table_d_has_three_places_and_the_last_two_blocks(plan: Plan) -> None:
    cells = plan("table-d", "image/vit-s-100").runs
    assert [(block_of(run)[2], getattr(run.run.recipe, "position")) for run in cells[1:]] == [  # noqa: B009
        ("smollm2", "tail"),
        ("smollm2", "middle"),
        ("smollm2", "head"),
        ("smollm2#28,29", "tail"),
    ]
    assert [run.run.name for run in cells[:2]] == ["image/vit-s-100", "image/vit-s-llama-100"]
    assert all(run.run.recipe.passes == 100 for run in cells)


def test_figure_2_has_every_layer_of_the_recipes_model_or_those_that_are_named(plan: Plan) -> None:
    layers = [block_of(run)[2] for run in plan("figure-2").runs[1:]]
    assert layers == [f"smollm2#{layer}" for layer in range(30)]
    named = plan("figure-2", "image/vit-micro", "--over", "block.source=smollm2#3..5,smollm2#28+29").runs
    assert [block_of(run)[2] for run in named[1:]] == ["smollm2#3", "smollm2#4", "smollm2#5", "smollm2#28,29"]


def test_table_c_takes_folders_of_opt_and_slows_the_small_ones_down(plan: Plan, tmp_path: Path) -> None:
    small, large = (write_opt(tmp_path / name, width) for name, width in (("opt-125m", 768), ("opt-1.3b", 2048)))
    sweep = plan("table-c", "image/vit-micro", "--over", f"block.source={small},{large}", "--learning-rate", "1e-3")
    assert [(block_of(run)[2], run.run.recipe.learning_rate) for run in sweep.runs[1:]] == [
        (str(small), pytest.approx(2e-4)),
        (str(large), 1e-3),
    ]
    assert sweep.runs[0].run.recipe.learning_rate == 1e-3
    figure = plan("figure-2", "image/vit-micro", "--source", str(small), "--learning-rate", "1e-3")
    assert [run.run.recipe.learning_rate for run in figure.runs] == [1e-3, pytest.approx(2e-4), pytest.approx(2e-4)]


def write_opt(folder: Path, width: int) -> Path:
    """The configuration of a model of two layers in the hub's format; no weights are read to plan a sweep."""
    OPTConfig(
        num_hidden_layers=2, hidden_size=width, word_embed_proj_dim=width, ffn_dim=8, num_attention_heads=2
    ).save_pretrained(folder)
    return folder


def test_the_rate_of_a_small_opt_is_not_that_of_the_baseline_and_the_mlp(plan: Plan, tmp_path: Path) -> None:
    small = write_opt(tmp_path / "opt", 768)
    sweep = plan("controls", "image/vit-micro", "--source", str(small), "--learning-rate", "1e-3")
    rates = {run.cell.name.split(",")[0]: run.run.recipe.learning_rate for run in sweep.runs}
    assert rates["vit-micro"] == rates["vit-micro-mlp"] == 1e-3
    assert rates["vit-micro-llama"] == rates["vit-micro-random"] == pytest.approx(2e-4)


@pytest.mark.parametrize("recipe", ["forecast/vectornet", "scene-qa/rooms"])
def test_recipes_of_other_tasks_have_them_too(plan: Plan, recipe: str) -> None:
    assert len(plan("controls", recipe).runs) == 6
    assert len(plan("figure-2", recipe).runs) == 31
    with pytest.raises(InputError, match=f"--preset table-d: {recipe} has no position; give another preset"):
        plan("table-d", recipe)


def test_other_fields_are_combined_with_every_cell(plan: Plan) -> None:
    sweep = plan("table-b", "image/vit-micro", "--over", "learning_rate=1e-3,2e-3")
    assert len(sweep.runs) == 8
    assert sweep.over == {"learning_rate": (1e-3, 2e-3), "block.frozen": (False,)}


@pytest.mark.parametrize(
    ("preset", "recipe", "more", "complaint"),
    [
        ("table-e", "image/vit-micro", (), "--preset table-e: expected one of controls, table-6, "),
        (
            "table-b",
            "image/vit-micro-llama",
            (),
            "image/vit-micro-llama: expected the name of a recipe without a block",
        ),
        ("table-d", "image/vit-micro", ("--over", "position=head"), "--over position: --preset table-d says it"),
        (
            "table-b",
            "image/vit-micro,image/vit-s",
            (),
            "--preset table-b: expected one recipe, got image/vit-micro, im",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    plan: Plan, preset: str, recipe: str, more: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        plan(preset, recipe, *more)


def test_every_preset_of_the_paper_says_what_the_paper_found() -> None:
    assert all(preset.published for name, preset in PRESETS.items() if name != "controls")
