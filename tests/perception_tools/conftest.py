"""For each task tiny data, a tiny recipe, and a run of it; and an encoder that is not ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from torch import Tensor

    from perception_nodes.forecasting.node import ForecastingNode
    from perception_tools.forecasting.recipes import ForecastRecipe
    from perception_tools.forecasting.run import ForecastRun
    from perception_tools.forecasting.streaming.playback import ReplayClock
    from perception_tools.scene_qa.recipes import SceneQaRecipe
    from perception_tools.scene_qa.run import SceneQaRun


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of prepared records is not the user's; processes that tests start have it too."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERCEPTION_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True, scope="session")
def traced_as_outside_of_tests() -> Iterator[None]:
    """Models are traced without the shape checks, as users trace them.

    Checks of axes that are open take most of the time of a trace and leave traces of their own in the graph. What is
    compared with the graph is computed with them.
    """
    import torch
    from jaxtyping import config

    export = torch.export.export

    def export_unchecked(*args: Any, **options: Any) -> torch.export.ExportedProgram:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(config, "jaxtyping_disable", True)
            return export(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.export, "export", export_unchecked)
        yield


@pytest.fixture(autouse=True)
def same_threads_after_the_test() -> Iterator[None]:
    """Commands set torch's threads; they are not to be those of the next test."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def maker_of_runs() -> Callable[..., Callable[..., Any]]:
    """Makes, for a task, what makes runs into a folder with changes to a tiny recipe and other options of the run."""

    def maker(kind: type, tiny: Any, **usual: Any) -> Callable[..., Any]:
        def make(out: Path, recipe: dict | None = None, **options: Any) -> Any:
            return kind(**{"out": out, "recipe": replace(tiny, **(recipe or {})), **usual, **options})

        return make

    return maker


@pytest.fixture(scope="session")
def train_into_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains a run, given what makes it, into a folder of this name."""

    def train(folder: str, make_run: Callable[..., Any], *args: Any, **options: Any) -> Path:
        from perception_tools.training.fit import fit

        out = tmp_path_factory.mktemp("trained") / folder
        fit(make_run(out, *args, **options))
        return out

    return train


@pytest.fixture
def fit_broken_off(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Trains a run that is broken off in a step, and goes on with it by another run into the same folder."""

    def train(task: type, step: int, run: Any, again: Any) -> None:
        from perception_tools.training.fit import fit

        taken, training_step = 0, task.training_step

        def breaking(self: Any, *args: Any) -> Tensor:
            nonlocal taken
            taken += 1
            if taken == step:
                raise KeyboardInterrupt
            return training_step(self, *args)

        with monkeypatch.context() as patched:
            patched.setattr(task, "training_step", breaking)
            with pytest.raises(BaseException):  # noqa: B017, PT011  # Lightning ends the process its own way
                fit(run)
        assert taken == step
        fit(again)

    return train


@pytest.fixture(scope="session")
def assert_same_model() -> Callable[[Path, Path], None]:
    """Compares the weights of two runs, bit by bit."""
    import torch
    from safetensors.torch import load_file

    from perception_tools.model_metadata import MODEL_FILE

    def compare(left: Path, right: Path) -> None:
        ours, theirs = load_file(left / MODEL_FILE), load_file(right / MODEL_FILE)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []

    return compare


@pytest.fixture(scope="session")
def write_data(
    write_argoverse1: Callable[..., Path],
    write_argoverse1_csv: Callable[..., Path],
    make_argoverse1_rows: Callable[..., list[str]],
) -> Callable[[Path], Path]:
    """Writes eight train and five val scenes of Argoverse 1.

    Each AGENT speeds up or brakes in its own way; in every other train scene nobody else is there.
    """

    def rows(number: int, alone: bool) -> Iterator[str]:
        for row in make_argoverse1_rows(seed=number):
            time, track, kind, x, *rest = row.split(",")
            if kind == "AGENT":
                x = str(float(x) + 0.006 * np.sin(number) * float(x) ** 2)
            if kind == "AGENT" or not alone:
                yield ",".join([time, track, kind, x, *rest])

    def write(folder: Path) -> Path:
        write_argoverse1(folder, train=8, val=5)
        for path in folder.glob("*/data/*.csv"):
            number = int(path.stem)
            write_argoverse1_csv(path, list(rows(number, alone=path.parts[-3] == "train" and number % 2 == 0)))
        return folder

    return write


@pytest.fixture(scope="session")
def data(write_data: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set. Tests must not change it."""
    return write_data(tmp_path_factory.mktemp("data") / "argoverse1")


@pytest.fixture(scope="session")
def tiny_recipe() -> ForecastRecipe:
    """A recipe that trains in a second: three passes of four steps, around a seeded random block."""
    from perception_tools.forecasting.recipes import ForecastRecipe
    from perception_tools.training.recipes import BlockRecipe

    return ForecastRecipe(
        block=BlockRecipe(source="random:32x48x4?seed=0"),
        dim=16,
        heads=2,
        passes=3,
        batch_scenarios=2,
        targets_per_scenario=3,
        warmup_steps=2,
        validate_every=1,
    )


@pytest.fixture(scope="session")
def make_run(
    data: Path, tiny_recipe: ForecastRecipe, maker_of_runs: Callable[..., Callable[..., Any]]
) -> Callable[..., ForecastRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.forecasting.run import ForecastRun

    return maker_of_runs(ForecastRun, tiny_recipe, data=data, name="forecast/vectornet-llama")


@pytest.fixture(scope="session")
def trained_run(make_run: Callable[..., ForecastRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run. Tests must not change it."""
    return train_into_folder("run", make_run, accelerator="cpu")


@pytest.fixture(scope="session")
def make_replay_node(sensor_log: Path, trained_run: Path) -> Callable[[], tuple[ForecastingNode, ReplayClock]]:
    """Makes an active node with the tiny model and the log's map, and the clock that it goes by."""
    from perception_datasets.argoverse.argoverse2_sensor import read_log
    from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
    from perception_tools.forecasting.model import load_model
    from perception_tools.forecasting.streaming.playback import ReplayClock

    trained, lanes = load_model(trained_run), read_log(sensor_log).map

    def make() -> tuple[ForecastingNode, ReplayClock]:
        clock = ReplayClock()
        node = ForecastingNode(
            ForecastingSettings(max_forecasts=8, min_history_steps=1), clock=clock
        )  # few sizes to warm up for
        node.configure(trained.model, history_steps=trained.training.history_steps, model_id="tiny")
        node.set_map(lanes)
        node.activate()
        return node, clock

    return make


@pytest.fixture
def own_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MODULE:CLASS of an encoder in the working directory, which is a temporary one."""
    shutil.copy(Path(__file__).parent / "own_encoder.py", tmp_path / "track_encoders.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield "track_encoders:TrackEncoder"
    sys.modules.pop("track_encoders", None)


@pytest.fixture(scope="session")
def tiny_answerer() -> SceneQaRecipe:
    """Two passes of few steps, around a seeded random block."""
    from perception_tools.scene_qa.recipes import ROOMS
    from perception_tools.training.recipes import BlockRecipe

    return replace(
        ROOMS,
        block=BlockRecipe(source="random:32x48x4?seed=0"),
        points=600,
        proposals=8,
        dim=16,
        heads=2,
        layers=1,
        pooled_dim=16,
        word_dim=8,
        text_dim=16,
        passes=2,
        scenes=2,
        questions_per_scene=30,
        warmup_steps=2,
    )


@pytest.fixture(scope="session")
def make_answerer_run(
    rooms_store: Path, tiny_answerer: SceneQaRecipe, maker_of_runs: Callable[..., Callable[..., Any]]
) -> Callable[..., SceneQaRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.scene_qa.run import SceneQaRun

    return maker_of_runs(SceneQaRun, tiny_answerer, data=rooms_store, name="scene-qa/rooms-llama", limit=3)


@pytest.fixture(scope="session")
def trained_answerer(make_answerer_run: Callable[..., SceneQaRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run. Tests must not change it."""
    return train_into_folder("run", make_answerer_run, accelerator="cpu")


@pytest.fixture
def forecast_without_torch(tmp_path: Path) -> Callable[[Path], dict]:
    """Has a forecasting node of a process of its own answer some ticks with an exported file; returns what it says."""
    program = """
import json, sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from perception_nodes.operations.deployment import read_deployment
from perception_tools.tasks import task_of_node
import perception_tools.commands.node, perception_tools.forecasting.node as forecasting
import perception_nodes.forecasting.tick as ticks
from perception.geometry import SE2
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import AgentKind, MapPolylines

(plan,) = read_deployment(Path(sys.argv[1])).nodes_of("forecast").values()
node = forecasting.configured_node(plan, None, ExitStack())
none = np.zeros(1, np.int64)
lane = np.stack([np.linspace(-50, 50, 10), np.zeros(10)], axis=-1)[None]
node.set_map(MapIndex(MapPolylines(none, lane, none, none, none.astype(bool), none.astype(bool))))
node.activate()
kinds, ids = np.full(3, AgentKind.VEHICLE), ("a", "b", "c")
for number in range(12):
    places = np.array([[10.0 + number, 0.0], [-20.0, 3.0 - number], [5.0, 5.0 + number]])
    pose = SE2(float(number), 0.0, 0.0)
    tick = ticks.Tick(10**8 * (number + 1), pose, ids, kinds, places, np.zeros(3), np.ones((3, 3)))
    result = node.step(tick)
heavy = {"torch", "lightning", "perception_datasets", "matplotlib"} & {name.split(".")[0] for name in sys.modules}
said = {"by_model": len(result.by_model), "reason": result.reason, "model_id": result.model_id}
print(json.dumps({**said, "imported": sorted(heavy)}))
"""

    def forecast(checkpoint: Path) -> dict:
        config = tmp_path / "deployment.yaml"
        node = f"{{kind: forecast, checkpoint: {checkpoint}, backend: onnxruntime}}"
        config.write_text(f"nodes: {{ego: {node}}}")
        done = subprocess.run([sys.executable, "-c", program, str(config)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return forecast


@pytest.fixture
def node_of(tmp_path: Path) -> Callable[..., Any]:
    """Configures a node as a deployment's file says: of a kind, with a checkpoint and options, and its own block."""
    from perception_nodes.operations.deployment import read_deployment
    from perception_tools.tasks import task_of_node

    def configured(kind: str, checkpoint: Path, options: str = "top: 3") -> Any:
        config = tmp_path / "deployment.yaml"
        config.write_text(f"nodes: {{sensor: {{kind: {kind}, checkpoint: {checkpoint}, {options}}}}}")
        plan = read_deployment(config).nodes_of(kind)["sensor"]
        module = import_module(str(task_of_node(kind).node).split(":")[0])
        with ExitStack() as open_:
            return module.configured_node(plan, None, open_)

    return configured
