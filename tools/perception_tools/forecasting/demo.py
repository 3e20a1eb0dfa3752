"""`perception demo`: the whole way from raw scenarios to a report, in about ten minutes on two cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from perception_tools.forecasting.recipes import RECIPES, ForecastRecipe
from perception_tools.output_places import keep_apart

DEMO_SEED = 0
TRAIN_SCENARIOS, VAL_SCENARIOS = 600, 100
DEMO_RECIPES = ("forecast/vectornet", "forecast/vectornet-llama")


def demo(out: Path = Path("out/demo"), data: Path | None = None, steps: int = 900) -> None:
    """Makes scenarios, trains VectorNet without and with a frozen language block, evaluates both, writes the report.

    Run it again and it goes on where it was stopped.

    Args:
        out: Folder for everything: data, runs, metrics.json, report.html.
        data: A real Argoverse 1 or 2 folder with train and val; synthetic scenarios are made where none is given.
        steps: Training steps of each recipe.
    """
    from perception_datasets.forecasting import open_forecasting
    from perception_tools.blocks import pretrained_or_stand_in
    from perception_tools.forecasting.evaluate import evaluate_models
    from perception_tools.forecasting.run import ForecastRun
    from perception_tools.forecasting.sample import sample_argoverse2
    from perception_tools.training.fit import fit

    if data is None:
        data = out / "data"
        sample_argoverse2(data, count=TRAIN_SCENARIOS, seed=DEMO_SEED, splits=("train",))
        sample_argoverse2(data, count=VAL_SCENARIOS, seed=DEMO_SEED, splits=("val",))
    else:
        keep_apart([out], [data])
    source = pretrained_or_stand_in()
    scenarios = len(open_forecasting(data, "train"))
    runs = []
    for name in DEMO_RECIPES:
        print(f"\ntraining {name}")
        recipe = _shortened(RECIPES[name], scenarios, steps, source)
        folder = out / name.replace("/", "-")
        fit(ForecastRun(data=data, out=folder, recipe=recipe, name=name, val_limit=VAL_SCENARIOS))
        runs.append(folder)
    what = "synthetic scenarios" if data == out / "data" else str(data)
    evaluate_models(runs, data, out, limit=None, data_name=f"{what}, {steps} steps")
    print(f"open {(out / 'report.html').resolve().as_uri()}")


def _shortened(recipe: ForecastRecipe, scenarios: int, steps: int, source: str) -> ForecastRecipe:
    """The recipe for about so many steps."""
    passes = max(1, round(steps * recipe.batch_scenarios / scenarios))
    return replace(recipe.with_source(source), passes=passes, validate_every=max(1, passes // 4))
