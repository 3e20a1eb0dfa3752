"""A trained forecaster as nodes run it: its block in the deployment form, and a name that says in which."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from perception.errors import InputError
from perception.frozen.precision import Precision
from perception.models.forecaster import Forecaster
from perception_tools.forecasting.model_file import TrainedForecaster
from perception_tools.model_files import MODEL_FILE

if TYPE_CHECKING:
    from perception_tools.scene_qa.model_file import TrainedAnswerer


def served_model(trained: TrainedForecaster, precision: Precision) -> Forecaster:
    """The model with its language block folded; a baseline, which has nothing to fold, as it is.

    Raises:
        InputError: Narrower weights are asked for where there is not one language block.
    """
    try:
        return trained.model.folded(precision)
    except InputError as error:
        if precision == "float32":
            return trained.model
        raise InputError(
            f"precision {precision}: expected a model with one language block, whose weights it is about, got "
            f"{trained.training.name}; leave the precision out"
        ) from error


def model_id(trained: TrainedForecaster | TrainedAnswerer, checkpoint: Path, form: str) -> str:
    """Which model an answer is from: the recipe, the first digits of the model file's hash, the block's form.

    Args:
        trained: The model.
        checkpoint: Its file, or the folder of its run.
        form: The block's precision, or where the block is.
    """
    file = checkpoint / MODEL_FILE if checkpoint.is_dir() else checkpoint
    return f"{trained.training.name}@{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}:{form}"
