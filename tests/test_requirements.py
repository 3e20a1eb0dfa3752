"""The locked requirements: that `make lock` was run after pyproject.toml was changed, and that they name hashes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
NOT_IN_FLOORS = {"torch", "timm"}
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def declared(extras: Iterable[str]) -> Iterator[Requirement]:
    """Requirements of the core and of extras, with those of the extras that they name."""
    for line in [*PROJECT["dependencies"], *(line for e in extras for line in PROJECT["optional-dependencies"][e])]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            yield from declared(requirement.extras)
        else:
            yield requirement


def locked(file: str) -> list[tuple[str, str, Marker | None, int]]:
    """Name, version, marker and number of hashes of each requirement in a file."""
    found = []
    for entry in re.split(r"\n(?=[a-z0-9])", (CHECKOUT / ".ci" / "requirements" / file).read_text())[1:]:
        requirement = Requirement(entry.split(" \\")[0])
        (version,) = requirement.specifier
        assert version.operator == "=="
        found.append(
            (canonicalize_name(requirement.name), version.version, requirement.marker, entry.count("--hash=sha256:"))
        )
    return found


def environment(python: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}


@pytest.mark.parametrize("python", PYTHONS)
def test_locked_versions_are_those_that_pyproject_asks_for(python: str) -> None:
    here = environment(python)
    entries = [*locked("lock.txt"), *locked("torch.txt")]
    versions = {name: version for name, version, marker, _ in entries if marker is None or marker.evaluate(here)}
    for requirement in declared(["all", "dev"]):
        if requirement.marker is None or requirement.marker.evaluate(here):
            version = versions.get(canonicalize_name(requirement.name), "0")
            assert version in requirement.specifier, f"{requirement}: found {version}; run `make lock`"


@pytest.mark.parametrize(("part", "extras"), [("core", []), ("nodes", ["nodes"])])
def test_parts_of_the_lock_have_its_versions_and_all_that_they_need(part: str, extras: list[str]) -> None:
    entries = {(name, version) for name, version, _, _ in locked(f"{part}.txt")}
    assert entries <= {(name, version) for name, version, _, _ in locked("lock.txt")}
    names = {name for name, _ in entries} | {"torch"}
    assert {canonicalize_name(requirement.name) for requirement in declared(extras)} <= names


def test_floors_are_the_lowest_versions_that_pyproject_admits() -> None:
    versions = {name: version for name, version, _, _ in locked("floors.txt")}
    for requirement in declared(["train", "report", "nodes", "oip", "text", "test"]):
        if requirement.name not in NOT_IN_FLOORS:
            (floor,) = [s.version for s in requirement.specifier if s.operator == ">="]
            version = versions.get(canonicalize_name(requirement.name), "none")
            assert f"{version}.".startswith(f"{floor}."), f"{requirement}: found {version}; run `make lock`"


@pytest.mark.parametrize("file", ["core.txt", "floors.txt", "lock.txt", "nodes.txt", "torch.txt"])
def test_everything_that_is_installed_has_hashes(file: str) -> None:
    assert [name for name, _, _, hashes in locked(file) if not hashes] == []


def test_no_other_build_of_torch_is_locked_to_those_who_bring_their_own() -> None:
    names = {name for file in ("lock.txt", "floors.txt") for name, *_ in locked(file)}
    assert [n for n in names if n.startswith(("nvidia", "cuda", "triton")) or n in ("torch", "torchvision")] == []
