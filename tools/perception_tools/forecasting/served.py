"""An exported forecaster as nodes ask it. Imports no PyTorch unless the encoder is anybody's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perception.files import reading
from perception_nodes.exported.runtimes import Runtime
from perception_nodes.forecasting.exported_forecaster import ExportedForecaster
from perception_tools.forecasting.recipes import INPUTS, ForecastRecipe, numbers_for
from perception_tools.references import resolve

if TYPE_CHECKING:
    from perception.encoders.forecasting import ForecastInput


def served(runtime: Runtime) -> ExportedForecaster:
    """An exported forecaster with the input of its recipe.

    Raises:
        InputError: Its file does not say how it was built.
    """
    with reading(runtime.file.path, "export the model again"):
        recipe = ForecastRecipe.from_json(runtime.file.metadata["recipe"])
        return ExportedForecaster(runtime, input_of(recipe))


def input_of(recipe: ForecastRecipe) -> ForecastInput:
    """What shows scenarios to the encoder of a recipe."""
    reference = INPUTS.get(recipe.encoder)
    if reference is None:
        from perception_tools.forecasting.model import build_forecaster

        return build_forecaster(recipe, future_steps=1).input
    kind = resolve(reference)
    return kind(**numbers_for(kind, recipe))
