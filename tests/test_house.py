"""The layout of the house: what may import what, and that it stays light to enter."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import replace
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from perception.scenes.classes import BOX_CLASSES
from perception.texts.answers import AnswerVocabulary
from perception.texts.tokenizer import WordTokenizer
from perception.texts.vocabulary import Vocabulary
from perception_nodes.kinds import KINDS
from perception_tools.extras import MODULES_OF
from perception_tools.forecasting.model import Training, build_forecaster, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.image.model import ImageTraining, build_classifier, save_classifier
from perception_tools.image.recipes import RECIPES as IMAGE_RECIPES
from perception_tools.image_text.model import ImageTextTraining, build_image_text, save_image_text
from perception_tools.image_text.recipes import RECIPES as IMAGE_TEXT_RECIPES
from perception_tools.model_metadata import format_of
from perception_tools.points.model import PointTraining
from perception_tools.points.model import build_classifier as build_points
from perception_tools.points.model import save_classifier as save_points
from perception_tools.points.recipes import RECIPES as POINT_RECIPES
from perception_tools.scene_qa.model import KnownWords, SceneQaTraining, build_answerer, save_answerer
from perception_tools.scene_qa.recipes import ROOMS
from perception_tools.tasks import TASKS, Task, all_tasks
from perception_tools.training.recipes import BlockRecipe
from perception_tools.video.model import ActionTraining, build_recognizer, save_recognizer
from perception_tools.video.recipes import RECIPES as VIDEO_RECIPES

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
    "perception_tools/training/job.py": "a type without behaviour; each task's job is tested with the task",
    "perception_tools/forecasting/bench/outages.py": "kills processes for minutes; its account is tested",
    "perception_tools/forecasting/run.py": "a type without behaviour; the tests of `perception train` parse it",
}
ORDINARY_WORDS = {"points", "video"}
"""Folders of tasks that other folders may mention as words, of a chart or a difference, but not import or quote."""
IMPORTED_IF_THERE = {"av2", "fpsample", "torchvision"}  # by benches; the first comes with [dev], the last with timm
COME_WITH_THE_CORE_TOO = {"yaml", "jinja2", "markupsafe"}  # gguf needs the first, torch the others
DECLARED_FOR_ITS_VERSION = {"numcodecs", "onnxscript"}  # zarr and torch.onnx import them
LEFT_OUT_OF_ROBOTS = {"lightning", "perception_datasets", "matplotlib", "tensorboard"}
"""What loading a model in a node must not import: a trainer, readers, pictures."""
NEED_AN_EXTRA_OF_THEIR_OWN = {
    "perception_nodes.block.oip",
    "perception_nodes.block.oip_client",
    "perception_nodes.block.over_ray",
    "perception_nodes.foxglove.process",
    "perception_nodes.foxglove.drawings",
}


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


def run_python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, cwd="/", check=False)


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


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment with a node of each task that has one, around tiny models; beside it a model of every other task."""
    folder = tmp_path_factory.mktemp("deployment")
    block = BlockRecipe(source="random:32x48x4?seed=0")
    recipe = ForecastRecipe(block=block, dim=16, heads=2)
    training = Training("forecast/vectornet-llama", "argoverse1", 1, history_steps=20, future_steps=30, steps=0)
    save_model(folder / "forecaster.safetensors", build_forecaster(recipe, 30), recipe, training)
    answering = replace(ROOMS, block=block, dim=16, text_dim=16, word_dim=8, pooled_dim=16)
    words = KnownWords(Vocabulary(("is", "it")), AnswerVocabulary(("yes", "no")))
    answerer = build_answerer(answering, words, torch.ones(len(BOX_CLASSES), 3))
    trained = SceneQaTraining("scene-qa/rooms-llama", "synthetic", scenes=1, questions=1, steps=0)
    save_answerer(folder / "answerer.safetensors", answerer, answering, words, trained)
    classifying = replace(IMAGE_RECIPES["image/vit-micro-llama"], block=block)
    of_pictures = ImageTraining("image/vit-micro-llama", "colours", pictures=1, steps=0)
    classifier = build_classifier(classifying, 2)
    save_classifier(folder / "classifier.safetensors", classifier, classifying, ("cat", "dog"), of_pictures)
    pointing = replace(POINT_RECIPES["points/micro-llama"], block=block)
    of_clouds = PointTraining("points/micro-llama", "shapes", clouds=1, steps=0)
    save_points(folder / "points.safetensors", build_points(pointing, 2), pointing, ("cat", "dog"), of_clouds)
    pairing = replace(IMAGE_TEXT_RECIPES["image-text/vqa-micro-llama"], block=block)
    of_pairs = ImageTextTraining("image-text/vqa-micro-llama", "made", texts=1, steps=0)
    model = build_image_text(pairing, WordTokenizer(["is", "it"]), 2)
    save_image_text(folder / "pairs.safetensors", model, pairing, ("yes", "no"), of_pairs)
    recognizing = replace(VIDEO_RECIPES["video/micro-llama"], block=block)
    of_clips = ActionTraining("video/micro-llama", "squares", labels="", where="", clips=1, steps=0)
    recognizer = build_recognizer(recognizing, 2)
    save_recognizer(folder / "recognizer.safetensors", recognizer, recognizing, ("up", "down"), of_clips)
    config = folder / "deployment.yaml"
    config.write_text(
        "nodes:\n  ego: {kind: forecast, checkpoint: forecaster.safetensors}\n"
        "  hal: {kind: scene-qa, checkpoint: answerer.safetensors}\n"
        "  eye: {kind: image, checkpoint: classifier.safetensors}\n"
    )
    return config


@pytest.mark.parametrize("kind", [task.node_kind for task in all_tasks() if task.node_kind])
def test_a_node_with_its_model_needs_no_trainer_no_reader_and_no_pictures(kind: str, deployment: Path) -> None:
    code = f"""
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
import perception_tools.commands.node, perception_tools.main
from perception_nodes.operations.deployment import read_deployment
from perception_tools.tasks import task_of_node

open_node = import_module(task_of_node({kind!r}).node.split(":")[0])
(plan,) = read_deployment(Path({str(deployment)!r})).nodes_of({kind!r}).values()
node = open_node.configured_node(plan, None, ExitStack())
assert node.lifecycle.state.name == "INACTIVE", node.lifecycle.state
print(sorted({{name.split(".")[0] for name in sys.modules}} & {LEFT_OUT_OF_ROBOTS!r}))
"""
    finished = run_python(code)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)
def test_loading_a_model_needs_no_trainer_no_reader_and_no_pictures(task: Task, deployment: Path) -> None:
    (path,) = (path for path in deployment.parent.glob("*.safetensors") if format_of(path) == task.format)
    code = f"""
import sys
from pathlib import Path
from perception_tools.tasks import task_of_run

path = Path({str(path)!r})
assert not task_of_run(path).load_model(path).model.training
print(sorted({{name.split(".")[0] for name in sys.modules}} & {LEFT_OUT_OF_ROBOTS!r}))
"""
    finished = run_python(code)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "[]"


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


def import_all(names: Iterable[str], installed_extras: Set[str] = frozenset()) -> None:
    """Imports modules, or every module of packages, in a process of its own in which the other extras are missing."""
    missing_extras = MODULES_OF.keys() - installed_extras
    hidden = {module for extra in missing_extras for module in MODULES_OF[extra]} - COME_WITH_THE_CORE_TOO
    code = f"""
import importlib, pkgutil, sys

class WithoutExtras:  # a finder that does not find them, as where they are not installed
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        is_hidden = any(f"{{name}}.".startswith(f"{{module}}.") for module in {hidden!r})
        return None if is_hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [WithoutExtras(finder) for finder in sys.meta_path]
from perception_tools.extras import MODULES_OF, missing_extra
for name in {list(names)!r}:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(getattr(package, "__path__", []), name + "."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if module.name not in {NEED_AN_EXTRA_OF_THEIR_OWN!r} or not missing_extra(error):
                raise
"""
    finished = run_python(code)
    assert finished.returncode == 0, finished.stderr


def test_core_and_the_command_import_without_the_extras() -> None:
    import_all(["perception", "perception_tools.main"])


def test_nodes_import_with_their_own_extra_alone() -> None:
    import_all(["perception_nodes"], {"nodes"})


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["train", "forecast/vectornet-llama", "--help"],
        ["train", "image/vit-micro", "--help"],
        ["train", "points/micro", "--help"],
        ["sweep", "--help"],
        ["evaluate", "--help"],
    ],
)
def test_help_starts_within_a_second_and_without_torch(words: list[str]) -> None:
    code = f"""
import sys, time
from perception_tools.main import main
try:
    status = main({words!r})
except SystemExit as stop:
    status = stop.code
assert not status, status
print("CPU", time.process_time(), sorted(sys.modules.keys() & {{"torch", "lightning", "pyarrow", "matplotlib"}}))
"""
    finished = run_python(code)
    assert finished.returncode == 0, finished.stderr
    word, seconds, heavy = finished.stdout.splitlines()[-1].split(maxsplit=2)
    assert (word, heavy) == ("CPU", "[]")
    assert float(seconds) < 1.0
