from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from perception.errors import InputError
from perception_tools.extras import MODULES_OF, missing_extra, require

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
NOT_OF_A_ROLE = {"all", "test", "dev"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


@cache
def installed() -> Mapping[str, list[str]]:
    """The distributions that bring each module; it reads the lists of files of all that is installed."""
    return packages_distributions()


def distributions_of(module: str) -> set[str]:
    """Names of the distributions that bring a module; what is not installed (Ray) is named as its module."""
    return names(installed().get(module.split(".")[0], [module]))


def test_table_and_pyproject_name_the_same_extras() -> None:
    assert MODULES_OF.keys() == PROJECT["optional-dependencies"].keys() - NOT_OF_A_ROLE


@pytest.mark.parametrize("extra", MODULES_OF)
def test_every_module_comes_with_its_extra_and_every_requirement_brings_one(extra: str) -> None:
    declared = names(PROJECT["optional-dependencies"][extra])
    brought = {module: distributions_of(module) & declared for module in MODULES_OF[extra]}
    assert [module for module, by in brought.items() if not by] == []
    assert declared == set().union(*brought.values())


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("lightning", "lightning is not installed; pip install 'frozen-perception[train]'"),
        ("lightning.pytorch", "lightning is not installed; pip install 'frozen-perception[train]'"),
        ("google", "google.protobuf is not installed; pip install 'frozen-perception[oip]'"),
        ("zenoh", "zenoh is not installed; pip install 'frozen-perception[nodes]'"),
    ],
)
def test_missing_module_of_an_extra_is_one_sentence_with_the_cure(missing: str, sentence: str) -> None:
    assert str(missing_extra(ModuleNotFoundError(name=missing))) == sentence


@pytest.mark.parametrize("missing", [None, "perception.nothing", "lightningrod", "grpc_tools", "goog"])
def test_other_modules_stay_errors_of_the_program(missing: str | None) -> None:
    assert missing_extra(ModuleNotFoundError(name=missing)) is None


def test_module_can_be_asked_for_before_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    require("jinja2")
    monkeypatch.setattr("perception_tools.extras.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"rerun is not installed; pip install 'frozen-perception\[rerun\]'"):
        require("rerun")
    with pytest.raises(ModuleNotFoundError, match="No module named 'mystery'"):
        require("mystery")


def test_a_user_of_one_extra_is_told_of_that_where_several_bring_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    require("scipy", "lidar")
    monkeypatch.setattr("perception_tools.extras.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"scipy is not installed; pip install 'frozen-perception\[lidar\]'"):
        require("scipy", "lidar")
