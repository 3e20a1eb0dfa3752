"""The programs that users start from do what they say, on tiny data."""

from __future__ import annotations

import ast
import json
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from perception.traffic.scenario import Scenario
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.recipes import BlockRecipe

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.forecasting.tick import Tick

CHECKOUT = Path(__file__).resolve().parent.parent
EXAMPLES = CHECKOUT / "tools" / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
PATIENCE_S = 60
TINY = ForecastRecipe(
    block=BlockRecipe(source="random:32x48x4?seed=0"),
    dim=16,
    heads=2,
    passes=1,
    batch_scenarios=2,
    targets_per_scenario=3,
    validate_every=1,
)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a program as one in its own folder would."""
    monkeypatch.syspath_prepend(EXAMPLES)
    yield __import__
    for path in PROGRAMS:
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def argoverse(write_argoverse1: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_argoverse1(tmp_path_factory.mktemp("data") / "argoverse1", train=4, val=2)


@pytest.fixture(scope="module")
def trained(argoverse: Path, sensor_log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The run that own_encoder.py makes, and what it gives."""
    out = tmp_path_factory.mktemp("own") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        metrics = __import__("own_encoder").main(argoverse, out, TINY, sensor_log)
        sys.modules.pop("own_encoder")
    return out, metrics


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_program_says_what_it_does_and_starts_from_a_checkout(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert f"python tools/examples/{path.name}" in shown
    monkeypatch.syspath_prepend(EXAMPLES)  # where Python looks first for what a program imports
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(path), run_name="__main__")
    assert stop.value.code == 0
    assert f"{path.name} [-h]" in capsys.readouterr().out


def test_an_encoder_of_ones_own_is_trained_evaluated_and_replayed(trained: tuple[Path, dict]) -> None:
    out, metrics = trained
    assert json.loads((out / "run.json").read_text())["recipe"]["encoder"] == "own_encoder:PolylineMeans"
    assert metrics["name"] == "vectornet-llama (own_encoder:PolylineMeans)"
    assert metrics["scenarios"] == 2
    assert metrics["replay"]["forecasts"] > 0
    assert metrics["replay"]["max_difference_to_offline"] < 1e-4
    assert (out / "report" / "report.html").exists()


def test_a_model_composed_in_python_is_trained_evaluated_and_replayed(
    example: Callable[[str], ModuleType], argoverse: Path, sensor_log: Path, tmp_path: Path
) -> None:
    metrics = example("own_model").main(argoverse, tmp_path / "run", TINY, sensor_log)
    assert metrics["scenarios"] == 2
    assert metrics["replay"]["forecasts"] > 0
    assert metrics["replay"]["max_difference_to_offline"] < 1e-4


def test_a_forecast_from_plain_arrays_needs_neither_a_trainer_nor_a_reader(trained: tuple[Path, dict]) -> None:
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(EXAMPLES)!r})
import forecast_a_scene
forecast_a_scene.main()
forecast = forecast_a_scene.main(Path({str(trained[0])!r}))
assert forecast.trajectories.shape == (3, 6, 30, 2), forecast.trajectories.shape
print(sorted(sys.modules.keys() & {{"lightning", "perception_datasets", "pyarrow", "zarr", "matplotlib", "zenoh"}}))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    *lines, heavy = finished.stdout.splitlines()
    assert [line.split()[0] for line in lines] == 2 * ["ahead", "braking", "walking"]
    assert heavy == "[]"


def test_the_scene_of_plain_arrays_moves_as_its_tracks_say(example: Callable[[str], ModuleType]) -> None:
    scenario: Scenario = example("forecast_a_scene").crossroads(20)
    ahead, braking, walking = scenario.agents.velocity[:, scenario.present]
    np.testing.assert_allclose(ahead, [8.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(walking, [-1.3, 0.0], atol=1e-9)
    assert 4.0 < braking[1] < 4.5  # the mean over half a second of braking to 4 m/s
    assert scenario.future_steps == 0


def test_anybodys_answers_are_scored(example: Callable[[str], ModuleType], made_rooms: Path, tmp_path: Path) -> None:
    program = example("score_predictions")
    metrics = program.main(made_rooms, tmp_path, split="train")
    answers = json.loads((tmp_path / "predictions.json").read_text())
    assert metrics["questions"] == len(answers) > 0
    assert 0 < metrics["em1"] < 1
    assert metrics["unanswered"] == 0
    assert "majority-per-type" in metrics["others"]


def test_the_notebook_opens_a_report(trained: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    monkeypatch.chdir(trained[0])
    notebook = json.loads((EXAMPLES / "open_a_report.ipynb").read_text(encoding="utf-8"))
    cells: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), cell["id"], "exec"), cells)
    assert list(cells["models"]) == ["vectornet-llama (own_encoder:PolylineMeans)", "constant velocity"]
    assert len(cells["axes"].lines) == 4
    plt.close(cells["figure"])


@pytest.mark.usefixtures("scene_node")
def test_a_plain_client_asks_the_scene_node(
    example: Callable[[str], ModuleType], router: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = example("ask_the_scene_node")
    answer = eventually(lambda: program.main("Is it red?", "I face the bed.", router, timeout_s=PATIENCE_S))
    printed = capsys.readouterr().out
    assert answer.model_id == "tiny"
    assert answer.status == program.OK
    assert printed.splitlines()[0] == f"{answer.answer} ({answer.confidence:.2f})"
    assert all(f"or {other} (" in printed for other in answer.alternatives)
    assert len(answer.evidence) > 0


def test_a_client_that_nobody_answers_says_so(example: Callable[[str], ModuleType], router: str) -> None:
    with pytest.raises(SystemExit, match=f"nobody answers /scene_qa/ask at {router} within 0.5 s"):
        example("ask_the_scene_node").main("Is it red?", connect=router, timeout_s=0.5)


def test_a_plain_client_hears_the_forecasts(
    example: Callable[[str], ModuleType],
    session: zenoh.Session,
    router: str,
    trained: tuple[Path, dict],
    make_tick: Callable[..., Tick],
    make_scenario: Callable[..., Scenario],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from perception.traffic.map_index import MapIndex
    from perception_nodes.forecasting.node import ForecastingNode
    from perception_nodes.forecasting.plan import ForecastPlan
    from perception_nodes.forecasting.process import ForecastingProcess
    from perception_nodes.ros.topics import RosNode, open_session
    from perception_nodes.ros.wire import RmwZenoh
    from perception_tools.forecasting.model import load_model

    example("own_encoder")
    any_age = float("inf")  # made ticks have old stamps
    plan = ForecastPlan(checkpoint=trained[0], max_age_s=any_age, max_ahead_s=any_age)
    run = load_model(trained[0])
    node = ForecastingNode()
    node.configure(run.model, history_steps=run.training.history_steps, model_id="tiny")
    client = in_thread(lambda: example("subscribe_to_forecasts").main(connect=router, count=2))
    with (
        RosNode(session, RmwZenoh()) as ros,
        open_session([router]) as other,
        RosNode(other, RmwZenoh(node="tracker")) as tracker,
        ForecastingProcess(node, ros, plan),
    ):
        send = sender(tracker, plan, MapIndex(make_scenario().map))
        for step in range(20 * PATIENCE_S):
            send(make_tick(step))
            if not client.is_alive():
                break
            time.sleep(0.05)
    client.join(PATIENCE_S)
    heard = [line for line in capsys.readouterr().out.splitlines() if "objects in map" in line]
    assert len(heard) == 2
    assert all(" 4 objects in map" in line for line in heard)  # the cars, and the cone, which stays where it is


def sender(tracker: Any, plan: Any, lanes: Any) -> Callable[[Tick], None]:
    """Publishes a latched map, and gives what publishes a tick with its odometry."""
    from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
    from perception_nodes.ros.cdr import write_tracked_objects
    from perception_nodes.ros.map_message import map_message
    from perception_nodes.ros.messages import ODOMETRY, POLYLINE_MAP, serialize

    map_topic, ego, objects = (
        tracker.publisher(topic)
        for name in (plan.map, plan.ego, plan.objects)
        for topic in plan.inputs
        if topic.name == name
    )
    map_topic.put(serialize(map_message(lanes, "PIT"), POLYLINE_MAP))

    def send(tick: Tick) -> None:
        ego.put(serialize(odometry_of(tick), ODOMETRY))
        objects.put(write_tracked_objects(tracked_objects_of(tick, np.zeros((len(tick), 2)))))

    return send


def in_thread(run: Callable[[], object]) -> threading.Thread:
    """A thread that does not outlive the tests."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def eventually(act: Callable[[], Any]) -> Any:
    """Tries again while a client finds nobody: the router may not know of the node yet."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except SystemExit:
            assert time.monotonic() < end, "nobody answers"
            time.sleep(0.05)
