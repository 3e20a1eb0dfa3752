"""`perception sweep RECIPE --data DIR --out DIR --over FIELD=a,b --seeds 0..4`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perception.errors import InputError

if TYPE_CHECKING:
    from perception_tools.analysis.sweep.plan import Sweep
    from perception_tools.training.run import TrainingRun

USAGE = """Trains recipes over values of their fields and over seeds, and puts what comes out into one table.

RECIPE is a recipe of `perception train --help`, or several with commas between them. Whatever else
`perception train RECIPE --help` lists can be given too, and holds for every run.

  perception sweep forecast/vectornet --data DIR --out DIR --over dim=64,128 --over dropout=0,0.1
  perception sweep forecast/vectornet,forecast/vectornet-llama --data DIR --out DIR --seeds 0..9 --passes 10
  perception sweep forecast/vectornet --preset figure-2 --source meta-llama/Llama-2-7b-hf --data DIR --out DIR

Writes to OUT: table.json (each cell's values by seed, mean and 95 % interval; differences between cells, paired by
seed), report.html (the same as a page with plots), and folders with runs, evaluations and logs. Run the same command
again after a stop and it goes on where it was; with more values or seeds it keeps what is finished."""


def sweep(words: list[str]) -> dict:
    """Trains recipes over values of their fields and over seeds, and puts what comes out into one table."""
    plan = read_sweep(words)

    from perception.files import alone_in
    from perception.processes import stopped_by_sigterm
    from perception_tools.analysis.sweep.execute import run_sweep

    with alone_in(plan.options.out, "a sweep") as lock, stopped_by_sigterm():
        return run_sweep(plan, words, lock)


def read_sweep(words: list[str]) -> Sweep:
    """The sweep that words ask for; shows the help instead where they ask for that.

    Raises:
        InputError: The words name no recipe, or something in them cannot be used.
    """
    from perception_tools.analysis.sweep.plan import SweepOptions, common_task, plan_sweep
    from perception_tools.analysis.sweep.presets import preset_cells
    from perception_tools.commands.train import read_run
    from perception_tools.main import parse

    recipe, *rest = words or [""]
    if recipe in ("-h", "--help"):
        recipe, rest = "", ["--help"]
    elif not recipe or recipe.startswith("-"):
        raise InputError(
            f"expected the name of a recipe first, got {recipe or 'none'}; `perception train --help` lists them"
        )
    options, left = parse(
        f"sweep {recipe or 'RECIPE'}", SweepOptions, rest, description=USAGE, return_unknown_args=True
    )
    if any(word.partition("=")[0] == "--seed" for word in left):
        raise InputError("--seed: a sweep has several; give --seeds 0..4")
    recipes = tuple(dict.fromkeys(recipe.split(",")))
    common_task(recipes)
    places = ["--data", str(options.data), "--out", str(options.out)]

    def base(name: str) -> TrainingRun:
        return read_run("sweep", name, [*left, *places])

    if options.preset is None:
        return plan_sweep(options, [base(name) for name in recipes])
    if len(recipes) > 1:
        raise InputError(f"--preset {options.preset}: expected one recipe, got {', '.join(recipes)}; sweep each alone")
    cells = preset_cells(options.preset, base(recipe), options.over)
    return plan_sweep(options, [base(name) for name in dict.fromkeys(cell.recipe for cell in cells)], cells)
