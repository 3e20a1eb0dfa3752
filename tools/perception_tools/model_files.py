"""Trained models as one safetensors file: trainable weights, recipe, and which frozen blocks they belong to."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from perception.errors import InputError
from perception.files import reading
from perception.frozen.trained_state import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.frozen.weights import WeightsError, write_tensors
from perception_tools.model_metadata import CURE, opened_model, read_metadata

_SPARE_WEIGHTS = 1_000_000
"""For weights that a model has beside those in its file."""


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

    def class_names(self) -> list[str]:
        """Names of a classifier's classes, by label.

        Raises:
            InputError: They are no texts.
        """
        names = self.metadata["classes"]["names"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError("expected the names of the classes as texts")
        return names

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
