"""What is named by `module:name` is imported when it is needed, and a user's own module is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.references import resolve, resolve_given


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a user's in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "things.py").write_text("THING = 3\n")
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "own_package"]:
        del sys.modules[name]


def test_ours_are_found_and_a_mistake_in_one_is_a_bug() -> None:
    assert resolve("perception.errors:InputError") is InputError
    with pytest.raises(AttributeError):
        resolve("perception.errors:NoSuchError")


@pytest.mark.usefixtures("own")
def test_a_users_module_is_found_in_the_working_directory() -> None:
    assert resolve_given("own_package.things:THING", "--thing") == 3


def test_what_is_installed_comes_before_the_working_directory(own: Path) -> None:
    (own.parent / "json").mkdir()
    (own.parent / "json" / "__init__.py").write_text("loads = None")
    assert resolve_given("json:loads", "--thing") is not None
    assert sys.path[-1] == str(own.parent)


@pytest.mark.parametrize(
    "reference", ["vectornett", "own_package.things", "a b:C", ":C", "own_package:", "a:b:c", "a-b:C"]
)
def test_what_is_no_reference_is_answered_with_the_form(reference: str) -> None:
    with pytest.raises(InputError, match=f"^--thing {reference}: expected MODULE:NAME, such as"):
        resolve_given(reference, "--thing")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no_package.things:THING", "there is no module 'no_package'; put its folder on PYTHONPATH, or run in it"),
        ("own_package.thing:THING", "there is no module 'own_package.thing'; put its folder on PYTHONPATH"),
        ("own_package.things:THINK", "the module own_package.things has no 'THINK'; correct the name"),
    ],
)
def test_what_is_not_there_is_named(reference: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^--thing {reference}: {message}"):
        resolve_given(reference, "--thing")


@pytest.mark.parametrize(
    ("source", "error"), [("import no_such_thing", ModuleNotFoundError), ("import json\njson.nothing", AttributeError)]
)
def test_a_mistake_inside_of_a_users_module_is_shown_as_what_it_is(own: Path, source: str, error: type) -> None:
    (own / "broken.py").write_text(source)
    with pytest.raises(error, match=r"no_such_thing|nothing"):
        resolve_given("own_package.broken:THING", "--thing")
