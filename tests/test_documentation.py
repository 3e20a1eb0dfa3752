"""The pages say what is there: links lead somewhere, commands parse, shown code is code of the tree."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import runpy
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml

from perception_tools import main as command_line
from perception_tools.references import resolve
from perception_tools.tasks import Task, all_tasks

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*CHECKOUT.glob("*.md"), *CHECKOUT.glob(".github/*.md")]
    + [page for folder in ("perception", "datasets", "nodes", "tools") for page in (CHECKOUT / folder).rglob("*.md")]
)
EXAMPLES = sorted((CHECKOUT / "tools" / "examples").glob("*.py"))
OF_THE_TOY_TASK = "digits"
"""CONTRIBUTING's own task, which `tests/test_contributing.py` runs."""

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(perception [^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors_of(page: Path) -> set[str]:
    """Where links into a page may lead, as GitHub names its headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_into_the_repository_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def shown_commands(path: Path) -> Iterator[str]:
    """Whole command lines: those of shell blocks, and in programs those of the docstring."""
    text = text_of(path)
    blocks = [block for kind, block in FENCE.findall(text) if kind == "sh"] if path.suffix == ".md" else [text]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        words = line.split("#", 1)[0] if re.search(r"\s#", line) else line
        if words.strip().startswith("perception ") and OF_THE_TOY_TASK not in words:
            yield words.strip()


def mentioned_commands(page: Path) -> Iterator[str]:
    """What stands in the text, which may be a part of a command line."""
    yield from (span for span in SPAN.findall(FENCE.sub("", text_of(page))) if OF_THE_TOY_TASK not in span)


def cases(of: Callable[[Path], Iterator[str]], pages: list[Path]) -> list:
    return [pytest.param(line, id=f"{name_of(page)}: {line}") for page in pages for line in dict.fromkeys(of(page))]


class Parsed(Exception):
    """A command line has been understood; the command is not run."""


def parse_alone(name: str, function: Callable[..., Any], words: list[str], **options: Any) -> Any:
    """Takes the place of `perception_tools.main.parse`: parses the words and does not call the command."""
    if options.get("return_unknown_args"):  # the command parses the rest itself
        return tyro.cli(function, prog=name, args=words, **options)

    @functools.wraps(function)
    def nothing(*_: Any, **__: Any) -> None:
        return None

    tyro.cli(function if isinstance(function, type) else nothing, prog=name, args=words, **options)
    raise Parsed


def task_by_name(run: Path) -> Task:
    """The task that a run of this name would be of, were it there."""
    name = "scene-qa" if "rooms" in run.name or "sqa3d" in run.name else "forecast"
    return next(task for task in all_tasks() if task.name == name)


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Parses a command line as the command does; fails where it would be refused."""
    monkeypatch.setattr(command_line, "parse", parse_alone)
    for module in ("evaluate", "replay"):
        monkeypatch.setattr(f"perception_tools.commands.{module}.task_of_run", task_by_name)

    def parse(line: str) -> None:
        words = [word for word in shlex.split(line) if word != "…"]
        with pytest.raises(Parsed):
            command_line.main(words[1:])

    return parse


@pytest.mark.parametrize("line", cases(shown_commands, PAGES + EXAMPLES))
def test_a_shown_command_line_is_understood(line: str, parse_only: Callable[[str], None]) -> None:
    parse_only(line)


@pytest.mark.parametrize(
    "line", ["perception train forecast/vectornet --dada D --out O", "perception replay", "perception fly"]
)
def test_a_wrong_command_line_is_noticed(line: str, parse_only: Callable[[str], None]) -> None:
    with pytest.raises((SystemExit, pytest.fail.Exception)):
        parse_only(line)


@functools.cache
def options_of(command: str, recipe: str) -> frozenset[str]:
    """Options that the help of a command shows: of a recipe's training, of the evaluation of every task."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if command == "evaluate":
            for task in all_tasks():
                with contextlib.suppress(SystemExit):
                    command_line.parse(command, resolve(task.evaluate), ["--help"])
        else:
            with contextlib.suppress(SystemExit):
                command_line.main([*command.split(), *recipe.split(), "--help"])
    return frozenset(OPTION.findall(out.getvalue()))


@pytest.mark.parametrize("span", cases(mentioned_commands, [page for page in PAGES if page.name != "CHANGELOG.md"]))
def test_a_mentioned_command_and_its_options_exist(span: str) -> None:
    words, commands = span.split()[1:], command_line.all_commands()
    name = next((n for n in (" ".join(words[:2]), words[0]) if n in commands), None)
    if name is None:
        groups = {command.split()[0] for command in commands}
        assert words[0] in groups | {"COMMAND", "--help", "--version"}
        return
    asked = set(OPTION.findall(span)) - {"--json"}  # every command has that one
    recipe = next((word for word in words[1:2] if name == "train" and word in all_recipes()), "")
    assert not asked or asked <= options_of(name, recipe)


def all_recipes() -> set[str]:
    return {recipe for task in all_tasks() for recipe in task.recipes}


def test_the_encoder_shown_to_users_is_the_whole_example() -> None:
    shown = [block for kind, block in FENCE.findall(text_of(CHECKOUT / "perception" / "README.md")) if kind == "python"]
    assert text_of(CHECKOUT / "tools" / "examples" / "own_encoder.py") in shown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_shown_python_compiles(page: Path) -> None:
    for kind, block in FENCE.findall(text_of(page)):
        if kind == "python" and block.strip() != '"perception_tools.digits.task:TASK",':
            compile(block, str(page), "exec")


def test_every_example_is_listed_on_the_page_of_the_tools() -> None:
    listed = set(re.findall(r"\(examples/([\w.]+)\)", text_of(CHECKOUT / "tools" / "README.md")))
    assert listed == {path.name for path in (CHECKOUT / "tools" / "examples").iterdir() if path.is_file()}


def test_the_picture_of_the_house_is_what_its_script_draws() -> None:
    script = CHECKOUT / ".readme" / "make_house.py"
    assert runpy.run_path(str(script))["draw"]() == text_of(script.with_name("house.svg"))


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load(text_of(CHECKOUT / "CITATION.cff"))
    version = re.search(r'^version = "(.+)"$', text_of(CHECKOUT / "pyproject.toml"), re.MULTILINE)
    assert version is not None
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == version[1]
    assert citation["references"][0]["url"] == "https://arxiv.org/abs/2310.12973"


def test_the_changelog_names_modules_that_are_there() -> None:
    rows = re.findall(
        r"^\| `(perception\.[^|]+) \| `(perception\.[^|]+) \|$", text_of(CHECKOUT / "CHANGELOG.md"), re.MULTILINE
    )
    assert len(rows) > 10
    missing, still_there = [], []
    for before, now in rows:
        still_there += [
            module for module in modules_in(before) if is_module(module) and module != "perception.encoders.vectornet"
        ]
        missing += [module for module in modules_in(now) if not is_module(module)]
    assert (missing, still_there) == ([], [])


def modules_in(cell: str) -> list[str]:
    """`a.b.c`, `d` names a.b.c and a.b.d."""
    first, *others = re.findall(r"`?([\w.]+)`", cell)
    return [first, *(f"{first.rpartition('.')[0]}.{other}" for other in others)]


def is_module(name: str) -> bool:
    path = CHECKOUT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_the_page_of_the_tools_lists_every_command() -> None:
    page = text_of(CHECKOUT / "tools" / "README.md")
    names = [name for name, command in command_line.all_commands().items() if command.group]
    assert [name for name in names if not re.search(rf"`(perception )?{name}\b", page)] == []
