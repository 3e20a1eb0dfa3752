"""Any model's file; what each task puts into its own is tested beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from perception.errors import InputError
from perception.frozen.weights import WeightsError
from perception_tools.model_files import TrainedWithClasses, expect_types, read_model, write_model, write_trained
from perception_tools.model_metadata import MODEL_FILE, format_of, model_id
from perception_tools.training.recipes import LearningRecipe

FORMAT = "a test's model 1"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_model(tmp_path / MODEL_FILE, nn.Linear(3, 2), FORMAT, {"recipe": {"passes": 3}})
    return tmp_path / MODEL_FILE


def test_a_model_comes_back_from_its_file_or_its_runs_folder(saved: Path) -> None:
    for path in (saved, saved.parent):
        stored = read_model(path, FORMAT)
        assert stored.metadata == {"recipe": {"passes": 3}}
        model = nn.Linear(3, 2)
        stored.load_into(model)
        assert torch.equal(model.weight, stored.weights["weight"])
    assert saved.stat().st_mode & 0o777 == 0o644, "others may run what one has trained"


def test_a_file_says_which_kind_of_model_it_holds(saved: Path, tmp_path: Path) -> None:
    assert format_of(saved) == format_of(saved.parent) == FORMAT
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert format_of(tmp_path / "other.safetensors") is None


def test_a_missing_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a run's folder or its model\.safetensors, found none"):
        read_model(tmp_path, FORMAT)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(saved: Path, part: float) -> None:
    saved.write_bytes(saved.read_bytes()[: int(saved.stat().st_size * part)])
    with pytest.raises(InputError, match=rf"{MODEL_FILE}: it cannot be parsed .*; copy or train it again"):
        read_model(saved, FORMAT)


@pytest.mark.parametrize("metadata", [None, {"format": "a test's model 0"}])
def test_another_programs_file_is_refused(tmp_path: Path, metadata: dict | None) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", metadata)
    with pytest.raises(InputError, match=f'expected a file of format "{FORMAT}"'):
        read_model(tmp_path / "other.safetensors", FORMAT)


def test_a_failed_write_leaves_the_former_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full_disk(_tensors: object, path: Path, _metadata: object) -> None:
        path.write_bytes(before[: len(before) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr("perception.frozen.weights.writing.save_file", full_disk)
    with pytest.raises(WeightsError, match="No space"):
        write_model(saved, nn.Linear(3, 2), FORMAT, {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_model_id_tells_files_and_forms_apart_but_not_a_run_from_its_file(saved: Path, tmp_path: Path) -> None:
    name = model_id("forecast/vectornet-llama", saved.parent, "int8")
    assert name.startswith("forecast/vectornet-llama@")
    assert name == model_id("forecast/vectornet-llama", saved, "int8")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    narrow, elsewhere = (model_id("forecast/vectornet-llama", *of) for of in ((saved, "float32"), (other, "int8")))
    assert len({name, narrow, elsewhere}) == 3


@dataclass(frozen=True)
class Trained:
    name: str
    steps: int


class TrainedWords(TrainedWithClasses[nn.Linear, LearningRecipe, Trained]):
    CLASSES_KEY = ("words", "known")


@pytest.mark.parametrize(
    ("kind", "key"), [(TrainedWithClasses, {"names": ["a", "b"]}), (TrainedWords, {"known": ["a", "b"]})]
)
def test_a_trained_model_is_written_with_its_recipe_its_classes_and_what_it_was_trained_on(
    kind: type[TrainedWithClasses], key: dict, tmp_path: Path
) -> None:
    trained = kind(nn.Linear(3, 2), LearningRecipe(passes=7), ("a", "b"), Trained("words/micro", 5))
    write_trained(tmp_path / MODEL_FILE, FORMAT, trained, further={"more": 1})
    stored = read_model(tmp_path, FORMAT)
    assert stored.metadata[kind.CLASSES_KEY[0]] == key
    assert stored.metadata["further"] == {"more": 1}
    recipe, training = stored.recipe_and_training(LearningRecipe, Trained)
    assert (recipe, training, stored.class_names(kind)) == (trained.recipe, trained.training, trained.classes)
    assert trained.name == "words/micro"


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("recipe", LearningRecipe().to_json() | {"passes": 0}, "passes: expected a number of at least 1, got 0"),
        ("recipe", LearningRecipe().to_json() | {"passes": "3"}, "expected passes to be int, found '3'"),
        ("training", {"name": 3, "steps": 1}, "expected name to be str, found 3"),
        ("training", {"name": "words"}, "steps"),
    ],
)
def test_a_damaged_recipe_or_training_is_refused(part: str, values: dict, message: str, tmp_path: Path) -> None:
    trained = TrainedWithClasses(nn.Linear(3, 2), LearningRecipe(), (), Trained("words/micro", 5))
    write_trained(tmp_path / MODEL_FILE, FORMAT, trained)
    stored = read_model(tmp_path, FORMAT)
    stored.metadata[part] = values
    with pytest.raises(InputError, match=message), stored.building():
        stored.recipe_and_training(LearningRecipe, Trained)


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    RENAMED: ClassVar[Mapping[str, str]] = {}
    size: int = 3
    inner: Inner = Inner()
    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] = (1, 2.5)
    many: tuple[str, ...] = ("x",)
    rates: Mapping[str, float] = field(default_factory=dict)
    limit: int | None = None
    flag: bool = False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 3.0}, "size to be int, found 3.0"),
        ({"size": True}, "size to be int, found True"),
        ({"inner": {"rate": 1}}, "inner to be Inner, found {'rate': 1}"),
        ({"inner": Inner(float("nan"))}, "rate to be float, found nan"),
        ({"kind": "c"}, "kind to be Literal['a', 'b'], found 'c'"),
        ({"pair": (1.0,)}, "pair to be tuple[float, float], found (1.0,)"),
        ({"many": "x"}, "many to be tuple[str, ...], found 'x'"),
        ({"rates": {"a": "b"}}, "rates to be collections.abc.Mapping[str, float], found {'a': 'b'}"),
        ({"limit": "x"}, "limit to be int | None, found 'x'"),
        ({"flag": 1}, "flag to be bool, found 1"),
    ],
)
def test_a_field_of_another_type_is_named(changes: dict, message: str) -> None:
    expect_types(Outer())
    values = Outer()
    for name, value in changes.items():
        object.__setattr__(values, name, value)  # as JSON gives them, past the checks of the test run
    with pytest.raises(InputError, match=re.escape(message)):
        expect_types(values)


def test_a_model_far_larger_than_its_file_is_refused_before_it_takes_memory(saved: Path) -> None:
    stored = read_model(saved, FORMAT)
    with stored.building():
        nn.Linear(3, 2)
    with pytest.raises(InputError, match=rf"{MODEL_FILE}: its recipe asks for more weights than it holds"):
        with stored.building():
            nn.ModuleList(nn.Linear(500, 500) for _ in range(10**9))
    nn.Linear(2_000, 2_000)  # the limit ends with the block


def test_metadata_that_is_not_a_table_is_named(saved: Path) -> None:
    save_file({"weight": torch.zeros(2)}, saved, {"format": FORMAT, "recipe": "[1]", "blocks": "{}"})
    with pytest.raises(InputError, match=rf"{MODEL_FILE}: expected recipe to be a JSON object, found \[1\]"):
        read_model(saved, FORMAT)
    save_file({"weight": torch.zeros(2)}, saved, {"format": FORMAT})
    with pytest.raises(InputError, match=rf"{MODEL_FILE}: it lacks 'blocks'; copy or train it again"):
        read_model(saved, FORMAT)
