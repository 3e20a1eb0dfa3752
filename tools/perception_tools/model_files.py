"""Trained models as one safetensors file: trainable weights, recipe, and which frozen blocks they belong to."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from perception.errors import InputError
from perception.files import reading
from perception.frozen.trained_state import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.frozen.weights import WeightsError, write_tensors
from perception_tools.model_metadata import CURE, opened_model, read_metadata
from perception_tools.training.recipes import LearningRecipe

_SPARE_WEIGHTS = 1_000_000
"""For weights that a model has beside those in its file."""


class TrainingRecord(Protocol):
    """What a model was trained on; a dataclass of plain values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Recipe's word on the command line."""
        ...


Model = TypeVar("Model", bound=nn.Module, covariant=True)
Recipe = TypeVar("Recipe", bound=LearningRecipe)
Training = TypeVar("Training", bound=TrainingRecord)


@dataclass(frozen=True)
class TrainedWithClasses(Generic[Model, Recipe, Training]):
    """A model that chooses among classes, as its file holds it.

    Attributes:
        model: The model, in evaluation mode once it is loaded.
        recipe: The recipe that it was built by.
        classes: Names of its classes, by label; empty where it has none.
        training: What it was trained on.
    """

    model: Model
    recipe: Recipe
    classes: tuple[str, ...]
    training: Training

    CLASSES_KEY: ClassVar[tuple[str, str]] = ("classes", "names")
    """Where a file's metadata holds the names of the classes."""

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.training.name


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds.

    Attributes:
        path: The file.
        weights: All but those of frozen blocks.
        metadata: What it was written with, by key.
        blocks: Fingerprints of the frozen blocks.
    """

    path: Path
    weights: dict[str, Tensor]
    metadata: dict[str, Any]
    blocks: dict[str, dict[str, str | None]]

    @contextmanager
    def building(self) -> Iterator[None]:
        """The block builds a model from the metadata; whatever fails in it names the file.

        A recipe can ask for a model of any size. It is refused as soon as it has twice as many weights as the file;
        frozen blocks, which are not in the file, do not count.

        Raises:
            InputError: The metadata cannot be used.
        """
        left = 2 * sum(value.numel() for value in self.weights.values()) + _SPARE_WEIGHTS

        def count(_module: nn.Module, name: str, parameter: Tensor | None) -> None:
            nonlocal left
            if parameter is None:
                return
            # A block is built without memory and then given its weights, which `load_blocks` has compared with memory.
            left += parameter.numel() if parameter.is_meta else -parameter.numel()
            if left < 0:
                raise InputError(f"its recipe asks for more weights than it holds (at {name!r})")

        with reading(self.path, CURE, WeightsError):
            handle = register_module_parameter_registration_hook(count)
            try:
                yield
            finally:
                handle.remove()

    def recipe_and_training(self, recipe: type[Recipe], training: type[Training]) -> tuple[Recipe, Training]:
        """The recipe that the model was built by, and what it was trained on.

        Raises:
            InputError: They are not of these types, or the recipe's numbers are out of their bounds.
        """
        built_by = recipe.from_json(self.metadata["recipe"])
        trained_on = training(**self.metadata["training"])
        expect_types(built_by)
        expect_types(trained_on)
        built_by.check()
        return built_by, trained_on

    def class_names(self, kind: type[TrainedWithClasses] = TrainedWithClasses) -> tuple[str, ...]:
        """Names of the model's classes, by label.

        Args:
            kind: Says where they are and what they are called.

        Raises:
            InputError: They are no texts.
        """
        part, key = kind.CLASSES_KEY
        names = self.metadata[part][key]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"expected {part} that are texts")
        return tuple(names)

    def load_into(self, model: nn.Module) -> None:
        """Puts the weights into a model that was built alike.

        Raises:
            WeightsError: Its block is another one.
        """
        load_trainable_state_dict(model, self.weights, self.blocks)


def write_model(path: Path, model: nn.Module, format_name: str, metadata: dict[str, dict]) -> None:
    """Writes any model; the file is whole or the former one.

    Raises:
        WeightsError: It cannot be written there.
    """
    texts = {name: json.dumps(value) for name, value in (metadata | {"blocks": fingerprints(model)}).items()}
    weights = {name: value.detach().contiguous().cpu() for name, value in trainable_state_dict(model).items()}
    write_tensors(path, weights, {"format": format_name, **texts})


def write_trained(path: Path, format_name: str, trained: TrainedWithClasses, **further: dict) -> None:
    """Writes a model that chooses among classes, with its recipe and what it was trained on; whole or not at all.

    Args:
        path: The file.
        format_name: The task's name for its files.
        trained: The model.
        further: What the task's files hold beside, by key.

    Raises:
        WeightsError: It cannot be written there.
    """
    part, key = trained.CLASSES_KEY
    metadata = {"recipe": trained.recipe.to_json(), "training": asdict(trained.training), part: {key: trained.classes}}
    write_model(path, trained.model, format_name, metadata | further)


def read_model(path: Path, format_name: str) -> StoredModel:
    """What `write_model` wrote, from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, or it is not of that format.
    """
    with opened_model(path, "pt", WeightsError) as (file, opened):
        weights = {name: opened.get_tensor(name) for name in opened.keys()}
        metadata = read_metadata(path, format_name)
        return StoredModel(file, weights, metadata, metadata.pop("blocks"))


def expect_types(values: Any) -> None:
    """Refuses a dataclass with a field that is not of its annotated type, as JSON can make it.

    Raises:
        InputError: The field, the expected type and what was found.
    """
    for name, hint in get_type_hints(type(values)).items():
        if get_origin(hint) is not ClassVar and not _fits(getattr(values, name), hint):
            expected = getattr(hint, "__name__", None) if not get_args(hint) else str(hint).replace("typing.", "")
            raise InputError(f"expected {name} to be {expected}, found {reprlib.repr(getattr(values, name))}")


def _fits(value: Any, hint: Any) -> bool:
    origin, inside = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        if type(value) is not hint:
            return False
        expect_types(value)
        return True
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    if origin is Literal:
        return any(value == word and type(value) is type(word) for word in inside)
    if origin in (Union, UnionType):
        return any(_fits(value, kind) for kind in inside)
    if origin is tuple:
        kinds = inside[:1] * len(value) if isinstance(value, tuple) and inside[-1] is ... else inside
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if origin is Mapping:
        is_map = isinstance(value, Mapping)
        return is_map and all(_fits(k, inside[0]) and _fits(v, inside[1]) for k, v in value.items())
    return type(value) is hint
