"""What a robot and a command import: no trainer, no reader, and no extra that is not there; help starts at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Set
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.scenes.classes import BOX_CLASSES
from perception.texts.answers import AnswerVocabulary
from perception.texts.tokenizer import WordTokenizer
from perception.texts.vocabulary import Vocabulary
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
from perception_tools.tasks import Task, all_tasks
from perception_tools.training.recipes import BlockRecipe
from perception_tools.video.model import ActionTraining, build_recognizer, save_recognizer
from perception_tools.video.recipes import RECIPES as VIDEO_RECIPES

COME_WITH_THE_CORE_TOO = {"yaml", "jinja2", "markupsafe"}  # gguf needs the first, torch the others
LEFT_OUT_OF_ROBOTS = {"lightning", "perception_datasets", "matplotlib", "tensorboard"}
"""What loading a model in a node must not import: a trainer, readers, pictures."""
NEED_AN_EXTRA_OF_THEIR_OWN = {
    "perception_nodes.block.oip",
    "perception_nodes.block.oip_client",
    "perception_nodes.block.over_ray",
    "perception_nodes.foxglove.process",
    "perception_nodes.foxglove.drawings",
}


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)


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
        "  lidar: {kind: points, checkpoint: points.safetensors}\n"
        "  watch: {kind: video, checkpoint: recognizer.safetensors}\n"
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
