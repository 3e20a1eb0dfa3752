"""The layout of the house: what may import what, and that it stays light to enter."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from perception_nodes.kinds import KINDS
from perception_tools.extras import MODULES_OF
from perception_tools.tasks import TASKS, all_tasks

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "perception": CHECKOUT / "perception",
    "perception_datasets": CHECKOUT / "datasets" / "perception_datasets",
    "perception_nodes": CHECKOUT / "nodes" / "perception_nodes",
    "perception_tools": CHECKOUT / "tools" / "perception_tools",
}
MAY_IMPORT = {
    "perception": set(),
    "perception_datasets": {"perception"},
    "perception_nodes": {"perception"},
    "perception_tools": {"perception", "perception_datasets", "perception_nodes"},
}
FLOORS = (  # of perception/, from top to bottom; each imports from itself and from those below
    {"models"},
    {"losses"},
    {"heads"},
    {"fusion"},
    {"encoders"},
    {"frozen"},
    {"kernels"},
    {"traffic", "scenes", "clouds", "images", "clips", "texts"}  # types
    | {"tokens", "batches", "geometry", "attention", "errors", "files", "hub", "processes"},
)
BESIDE_THE_FLOORS: dict[str, set[str]] = {"metrics": set(), "analysis": {"metrics"}, "baselines": {"metrics"}}
"""Folders of perception/ that no floor imports: they import types, themselves and the named folders."""
NODE_FLOORS = (
    {"kinds", "failure_log", "exported"},  # a table of words; how failures are logged; runtimes of models
    {"security"},
    {"ros", "block"},
    {"recordings", "operations"},
    {Path(kind.split(":")[0].replace(".", "/")).parent.name for kind in KINDS.values()},
    {"foxglove"},  # shows all of it
)
"""Files and folders of perception_nodes, from the bottom up: each imports only itself and those of floors below."""
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
WITHOUT_A_TEST_FILE = {
    "perception_tools/analysis/filtering/views.py": "types without behaviour; each task's views are tested with it",
    "perception/traffic/augmentation.py": "a type without behaviour",
    "perception_tools/export/exportable.py": "a type without behaviour; each task's export is tested with the task",
    "perception/metrics/limits.py": "two numbers, which the metrics' tests compare with av2's",
    "perception/encoders/forecasting.py": "protocols and a record; the tests of encoders and inputs check them",
    "perception_tools/forecasting/bench/outages.py": "kills processes for minutes; its account is tested",
    "perception_tools/forecasting/run.py": "a type without behaviour; the tests of `perception train` parse it",
}
ORDINARY_WORDS = {"points", "video"}
"""Folders of tasks that other folders may mention as words, of a chart or a difference, but not import or quote."""
IMPORTED_IF_THERE = {"av2", "fpsample", "torchvision"}  # by benches; the first comes with [dev], the last with timm
DECLARED_FOR_ITS_VERSION = {"numcodecs", "onnxscript"}  # zarr and torch.onnx import them


def sources(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


@cache
def imported_modules(path: Path) -> tuple[str, ...]:
    """Every module that a file imports anywhere in it, also inside functions and under TYPE_CHECKING."""
    return tuple(_imported_modules(path))


def _imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            yield node.module or ""


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{path.relative_to(CHECKOUT)} imports {module}"
        for path in sources(package)
        for module in imported_modules(path)
        if (root := module.split(".")[0]) in PACKAGES and root not in allowed
    ]
    assert wrong == []


def test_no_floor_of_perception_imports_from_a_higher_one() -> None:
    may_import = {folder: set().union(*FLOORS[floor:]) for floor, folders in enumerate(FLOORS) for folder in folders}
    may_import |= {folder: {folder} | FLOORS[-1] | others for folder, others in BESIDE_THE_FLOORS.items()}
    may_import["__init__"] = set()
    wrong = []
    for path in sources("perception"):
        folder = path.relative_to(PACKAGES["perception"]).with_suffix("").parts[0]
        assert folder in may_import, f"perception/{folder}: put it on a floor in FLOORS"
        modules = [module for module in imported_modules(path) if module.split(".")[0] == "perception"]
        imported = {module.removeprefix("perception.").split(".")[0] for module in modules}
        wrong += [f"{path.relative_to(CHECKOUT)} imports {other}" for other in sorted(imported - may_import[folder])]
    assert wrong == []


def _modules_in(path: Path, known: Collection[str]) -> set[str]:
    """The known modules that a file imports; `from package import module` imports the module."""
    found = set(imported_modules(path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            found = (found - {node.module}) | submodules if len(submodules) == len(node.names) else found | submodules
    return found & set(known)


def test_no_modules_import_each_other_in_a_circle() -> None:
    module_of = {}
    for package, folder in PACKAGES.items():
        for path in sources(package):
            parts = path.relative_to(folder).with_suffix("").parts
            module_of[".".join((package, *parts)).removesuffix(".__init__")] = path
    imports = {name: _modules_in(path, module_of.keys()) for name, path in module_of.items()}
    while leaves := {name for name, others in imports.items() if not others & imports.keys()}:
        imports = {name: others for name, others in imports.items() if name not in leaves}
    assert sorted(imports) == [], "these are in a circle, or import one that is"


def test_imports_between_the_nodes_folders_point_down() -> None:
    floor_of = {name: number for number, names in enumerate(NODE_FLOORS) for name in names}
    wrong = []
    for path in sources("perception_nodes"):
        own = path.relative_to(PACKAGES["perception_nodes"]).with_suffix("").parts[0]
        for module in imported_modules(path) if own != "__init__" else ():
            root, _, rest = module.partition(".")
            other = rest.split(".")[0]
            if root == "perception_nodes" and other != own and not floor_of[other] < floor_of[own]:
                wrong.append(f"{path.relative_to(CHECKOUT)} imports {module}")
    assert wrong == []


def test_every_source_file_has_a_test_file_at_the_same_place() -> None:
    names = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in sources(package)
        if path.name != "__init__.py"
    }
    untested = {n for n in names if not (CHECKOUT / "tests" / n).with_name(f"test_{n.rsplit('/')[-1]}").exists()}
    assert sorted(untested - WITHOUT_A_TEST_FILE.keys()) == []
    assert sorted(WITHOUT_A_TEST_FILE.keys() - untested) == [], "no exception any more; take it from the list"


def test_every_test_file_is_of_a_source_file() -> None:
    tests = CHECKOUT / "tests"
    orphans = []
    for path in tests.rglob("test_*.py"):
        package, *rest = path.relative_to(tests).parts
        if not rest or package == "fuzz":
            continue  # of the whole house
        words = path.stem.removeprefix("test_").split("_")
        modules = [  # test_process_faults.py is of process.py too
            PACKAGES[package].joinpath(*rest).with_name("_".join(words[:count])) for count in range(1, len(words) + 1)
        ]
        if not any(module.with_suffix(".py").exists() or module.is_dir() for module in modules):
            orphans.append(path.relative_to(tests).as_posix())
    assert orphans == []


def test_no_module_hides_behind_a_vague_name() -> None:
    parts = {part for package in PACKAGES for path in sources(package) for part in path.with_suffix("").parts}
    assert parts & VAGUE_NAMES == set()


def test_a_task_is_named_in_its_own_folder_alone() -> None:
    """A further task is one folder and one line: the one in `TASKS`."""
    folders = {reference.split(".")[1]: task for reference, task in zip(TASKS, all_tasks(), strict=True)}
    tools = PACKAGES["perception_tools"]
    named = []
    for path in sources("perception_tools"):
        if path.relative_to(tools).parts[0] in folders:
            continue
        text = path.read_text()
        if path == tools / "tasks.py":
            text = "\n".join(line for line in text.splitlines() if line.strip(' ",') not in TASKS)
        elif path in (tools / "extras.py", tools / "answer_files" / "formats.py"):
            continue  # extras are called by what they read, as tasks are; others name the fields of their files
        quoted = [
            n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
        for folder, task in folders.items():
            names = {folder, task.name, task.node_kind}
            path_or_word = rf"perception_tools[./]{folder}\b" if folder in ORDINARY_WORDS else rf"\b{folder}\b"
            if re.search(path_or_word, text) or any(q in names or q.startswith(f"{task.name}/") for q in quoted):
                named.append(f"{path.relative_to(CHECKOUT)} names {task.name}")
    assert named == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is(package: str) -> None:
    undocumented = [
        path.relative_to(CHECKOUT).as_posix()
        for path in sources(package)
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert undocumented == []


def test_tree_imports_what_is_declared_and_nothing_else() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    core = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    distributions = {root: set(map(canonicalize_name, names)) for root, names in packages_distributions().items()}
    of_core = {root for root, names in distributions.items() if core & names}
    of_extras = {module.split(".")[0] for modules in MODULES_OF.values() for module in modules}
    imported = {m.split(".")[0] for package in PACKAGES for path in sources(package) for m in imported_modules(path)}
    third_party = imported - PACKAGES.keys() - sys.stdlib_module_names
    assert sorted(third_party - of_core - of_extras - IMPORTED_IF_THERE) == []
    assert sorted(of_extras - third_party - DECLARED_FOR_ITS_VERSION) == []
    assert sorted(core - set().union(*(distributions.get(module, set()) for module in third_party))) == []
