from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from perception.errors import InputError
from perception_nodes.operations.configuration import Choice, ConfigurationError, read_variant, read_yaml


@dataclass(frozen=True)
class Wheel:
    size: float
    worn: bool = False

    def __post_init__(self) -> None:
        if self.size <= 0:
            raise InputError(f"wheel: expected a size above 0, got {self.size}")


@dataclass(frozen=True)
class Car:
    name: str
    doors: int = 4
    manual: Path | None = None
    tags: tuple[str, ...] = ()
    wheels: Mapping[str, Wheel] = field(default_factory=dict)
    fuel: Literal["petrol", "none"] = "petrol"


def write(folder: Path, text: str) -> Path:
    path = folder / "car.yaml"
    path.write_text(text)
    return path


def test_what_the_file_says_is_what_the_dataclass_holds(tmp_path: Path) -> None:
    text = """
name: r2
doors: 2
manual: docs/r2.pdf
fuel: none
tags: [red, small]
wheels:
  left: {size: 3}
  right: {size: 3.5, worn: true}
"""
    wheels = {"left": Wheel(3.0), "right": Wheel(3.5, True)}
    assert read_yaml(write(tmp_path, text), Car) == Car(
        "r2", 2, tmp_path / "docs/r2.pdf", ("red", "small"), wheels, "none"
    )
    assert read_yaml(write(tmp_path, "name: x\nmanual: null"), Car) == Car("x")


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("name: x\ndors: 3", 2, "the file has no key 'dors'; did you mean doors?"),
        ("name: x\nqqq: 3", 2, "the file has no key 'qqq'; expected name, doors, manual, tags, wheels, fuel"),
        ("doors: 2", 1, "the file: expected the key name; add it"),
        ("name: x\ndoors: two", 2, "doors: expected a whole number, found 'two'"),
        ("name: x\ndoors: 2.5", 2, "doors: expected a whole number, found '2.5'"),
        ("name: x\ndoors: true", 2, "doors: expected a whole number, found 'true'"),
        ("name: 3", 1, "name: expected a text, found '3'"),
        ("name: x\ntags: red", 2, "tags: expected a list"),
        ("name: x\nfuel: water", 2, "fuel: expected one of petrol, none; found 'water'"),
        ("name: x\nfuel: [none]", 2, "fuel: expected one of petrol, none; found a list"),
        ("name: x\n\ntags: [1]", 3, "tags: expected a text, found '1'"),
        ("name: x\nname: y", 2, "the key name is there twice"),
        (
            "name: x\nwheels:\n  left:\n    size: 3\n    wron: true",
            5,
            "wheels.left has no key 'wron'; did you mean worn?",
        ),
        ("name: x\nwheels:\n  left:\n    size: -3", 4, "wheel: expected a size above 0, got -3.0"),
        ("name: x\nwheels: [a]", 2, "wheels: expected keys and values, found a list"),
        ("name: [x", 1, "no YAML: "),
        ("", 1, "expected name, doors, manual, tags, wheels, fuel, found nothing"),
        ("name: !!python/object/apply:os.system [ls]", 1, "name: expected a text, found a list"),
    ],
)
def test_a_mistake_is_said_with_its_line(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as error:
        read_yaml(path, Car)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert complaint in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: no such file"):
        read_yaml(tmp_path / "none.yaml", Car)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigurationError, match=r"bytes\.yaml"):
        read_yaml(tmp_path / "bytes.yaml", Car)


@pytest.mark.parametrize(("text", "size"), [("1e-3", 1e-3), ("2E2", 200.0), ("1.5e3", 1500.0), ("3", 3.0), (".5", 0.5)])
def test_a_number_may_be_written_with_an_exponent_alone(tmp_path: Path, text: str, size: float) -> None:
    assert read_yaml(write(tmp_path, f"size: {text}"), Wheel).size == size


def test_a_variant_is_a_preset_with_the_files_values(tmp_path: Path) -> None:
    wheels = {"left": Wheel(3.0)}
    presets = {"small": Car("mini", 2, wheels=wheels), "large": Car("bus", 6)}
    assert read_variant(write(tmp_path, "base: small\nfuel: none"), "base", presets) == (
        "small",
        Car("mini", 2, wheels=wheels, fuel="none"),
    )
    with pytest.raises(ConfigurationError, match=r"car\.yaml:2: base: there is no 'smal'; did you mean small\?"):
        read_variant(write(tmp_path, "doors: 3\nbase: smal"), "base", presets)
    with pytest.raises(ConfigurationError, match=r"car\.yaml:1: the file: expected the key base; add it"):
        read_variant(write(tmp_path, "doors: 3"), "base", presets)


def test_a_variant_that_its_dataclass_refuses_is_said_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"car\.yaml:1: wheel: expected a size above 0, got -1\.0"):
        read_variant(write(tmp_path, "base: one\nsize: -1"), "base", {"one": Wheel(1.0)})


@dataclass(frozen=True)
class Part:
    name: str


@dataclass(frozen=True)
class Bolt(Part):
    length: float = 1.0


@dataclass(frozen=True)
class Box:
    parts: Mapping[str, Part]


CHOICES = {Part: Choice("kind", {"bolt": lambda: Bolt, "plain": lambda: Part})}


def test_a_key_of_the_file_chooses_among_dataclasses(tmp_path: Path) -> None:
    text = "parts:\n  a: {kind: bolt, name: x, length: 2}\n  b: {name: y, kind: plain}"
    assert read_yaml(write(tmp_path, text), Box, choices=CHOICES) == Box({"a": Bolt("x", 2.0), "b": Part("y")})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("parts:\n  a: {name: x}", ":2: parts.a: expected the key kind, one of bolt, plain; add it"),
        ("parts:\n  a:\n    kind: nut", ":3: parts.a.kind: expected one of bolt, plain; found 'nut'"),
        ("parts:\n  a: {kind: plain, name: x, length: 2}", ":2: parts.a has no key 'length'; expected name"),
        ("parts:\n  a: [x]", ":2: parts.a: expected keys and values, found a list"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_yaml(write(tmp_path, text), Box, choices=CHOICES)
    assert complaint in str(error.value)


def test_a_file_may_be_amended_before_it_is_read(tmp_path: Path) -> None:
    def amend(root: yaml.Node) -> None:
        root.value[0][0].value = "name"

    assert read_yaml(write(tmp_path, "label: x"), Car, amend=amend) == Car("x")


def test_all_mistakes_are_said_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = "name: 3\ndors: 2\nwheels:\n  left: {size: 0}\n  right:\n    size: x\n    worn: 7\ntags: red\n"
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as error:
        read_yaml(path, Car)
    assert str(error.value).splitlines() == [
        f"{path}:1: name: expected a text, found '3'",
        f"{path}:2: the file has no key 'dors'; did you mean doors?",
        f"{path}:4: wheel: expected a size above 0, got 0.0",
        f"{path}:6: size: expected a number, found 'x'",
        f"{path}:7: worn: expected true or false, found '7'",
        f"{path}:8: tags: expected a list such as [a, b], found 'red'",
    ]
