"""A trained forecaster as nodes run it: its block in the deployment form."""

from __future__ import annotations

from perception.errors import InputError
from perception.kernels.linear import for_inference
from perception.kernels.precision import Precision
from perception.models.forecaster import Forecaster
from perception_tools.forecasting.model import TrainedForecaster


def served_model(trained: TrainedForecaster, precision: Precision) -> Forecaster:
    """The model with its language block folded, and inference kernels; a baseline has nothing to fold.

    Raises:
        InputError: Narrower weights are asked for where there is not one language block.
    """
    try:
        return trained.model.folded(precision)
    except InputError as error:
        if precision == "float32":
            return for_inference(trained.model)
        raise InputError(
            f"precision {precision}: expected a model with one language block, whose weights it is about, got "
            f"{trained.training.name}; leave the precision out"
        ) from error
