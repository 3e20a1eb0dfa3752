"""A training run from start to end: broken off, gone on with, on two processes, on broken data."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.recipes import RECIPES
from perception_tools.forecasting.run import ForecastRun
from perception_tools.forecasting.scored import asked_agents
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.references import resolve_given
from perception_tools.training.curves import read_curves
from perception_tools.training.fit import fit
from perception_tools.training.optim import cosine_factor
from perception_tools.training.run import RUN_FILE
from perception_tools.training.run_folder import FINISHED_FILE, RESUME_FILE

MakeRun = Callable[..., ForecastRun]
AssertSame = Callable[[Path, Path], None]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
TINY = "--dim 16 --heads 2 --source random:32x48x4?seed=0 --batch-scenarios 2 --targets-per-scenario 3 --warmup-steps 2"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The same number of threads as the processes that tests start, so that sums are bit-equal."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train_command(data: Path, out: Path, options: str) -> list[str]:
    words = f"train forecast/vectornet-llama {TINY} --validate-every 1 {options} --data {data} --out {out}"
    return [sys.executable, "-m", "perception_tools.main", *words.split()]


def checkpoint_of(run: Path) -> dict:
    return torch.load(run / RESUME_FILE, weights_only=True)


def test_a_run_leaves_its_model_its_curves_and_how_to_go_on(trained_run: Path) -> None:
    trained = load_model(trained_run)
    assert trained.training.name == "forecast/vectornet-llama"
    assert (trained.training.source, trained.training.scenarios, trained.training.steps) == ("argoverse1", 8, 12)
    assert json.loads((trained_run / RUN_FILE).read_text())["recipe"] == trained.recipe.to_json()
    curves = read_curves(trained_run)
    assert curves.keys() >= {"train/loss", "train/regression", "train/classification", "val/min_fde", "val/miss_rate"}
    assert [step for step, _ in curves["val/min_fde"]] == [3, 7, 11]
    assert not list(trained_run.glob("*.part"))


def test_a_checkpoint_on_disk_holds_no_frozen_weights(trained_run: Path) -> None:
    checkpoint = checkpoint_of(trained_run)
    states = [checkpoint["state_dict"], *(c for c in checkpoint["callbacks"].values())]
    names = {name for state in states for name in (*state, *state.get("average", ()))}
    assert any("block.project_in" in name for name in names)
    assert not any("block.blocks" in name for name in names)


def test_the_model_file_holds_the_average_of_the_weights(trained_run: Path) -> None:
    checkpoint = checkpoint_of(trained_run)
    (average,) = (c["average"] for name, c in checkpoint["callbacks"].items() if name.startswith("WeightAverage"))
    weights = load_file(trained_run / MODEL_FILE)
    for name, value in average.items():
        assert torch.equal(weights[name.removeprefix("model.")], value), name
    assert not torch.equal(weights["head.mode"], checkpoint["state_dict"]["model.head.mode"])


def test_the_learning_rate_at_the_end_is_the_schedules(trained_run: Path, tiny_recipe) -> None:
    groups = checkpoint_of(trained_run)["optimizer_states"][0]["param_groups"]
    expected = tiny_recipe.learning_rate * cosine_factor(12, tiny_recipe.warmup_steps, 12)
    assert [group["lr"] for group in groups] == pytest.approx([expected] * len(groups))


def test_a_finished_run_that_is_started_again_stays_as_it_is(
    trained_run: Path,
    make_run: MakeRun,
    assert_same_model: AssertSame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    fit(make_run(tmp_path / "run"))
    assert_same_model(tmp_path / "run", trained_run)
    model = tmp_path / "run" / MODEL_FILE
    said = f"{tmp_path / 'run'}: training is finished already; {model} holds the model\n"
    assert capsys.readouterr().out == said
    (tmp_path / "run" / "finished.json").unlink()  # runs of earlier versions have none
    fit(make_run(tmp_path / "run"))
    assert_same_model(tmp_path / "run", trained_run)
    assert capsys.readouterr().out == said


def test_training_learns(make_run: MakeRun, tmp_path: Path) -> None:
    fit(make_run(tmp_path, {"passes": 10, "learning_rate": 3e-3, "dropout": 0.0, "mirror_probability": 0.0}))
    (_, first), *_, (_, last) = read_curves(tmp_path)["train/loss"]
    assert last < 0.8 * first


def test_a_recipe_without_any_block_trains_too(make_run: MakeRun, tmp_path: Path) -> None:
    block = RECIPES["forecast/vectornet"].block
    fit(make_run(tmp_path, {"passes": 1, "block": block, "view": "scene"}, name="forecast/vectornet"))
    assert load_model(tmp_path).training.steps == 4


def test_a_given_model_is_trained_in_place_of_the_recipes(
    make_run: MakeRun, data: Path, own_encoder: str, tmp_path: Path
) -> None:
    encoder_type = resolve_given(own_encoder, "encoder")

    def make() -> Forecaster:
        torch.manual_seed(5)
        block = build_adapter(12, source="random:32x48x4?seed=1", residual=True)
        return Forecaster(encoder_type(12, hidden=6), block, TrajectoryDecoder(12, modes=6, steps=30))

    out, model, before = tmp_path / "run", make(), make().state_dict()
    assert fit(make_run(out, {"passes": 1}), model=model) == out / MODEL_FILE
    loaded = load_model(out, make())
    trained = loaded.model.state_dict()
    same = {name: torch.equal(trained[name], before[name]) for name in before}
    assert (same["block.blocks.0.q.weight"], same["encoder.layers.0.weight"]) == (True, False)
    assert loaded.training.steps == 4
    (scenario, *_) = open_forecasting(data, "val").read_all(lambda *_: None)
    (ours,), (theirs,) = (m.eval().forecast([scenario], [asked_agents(scenario)]) for m in (model, loaded.model))
    np.testing.assert_array_equal(ours.trajectories, theirs.trajectories)
    with pytest.raises(InputError, match="trained around the block random:32x48x4"):
        load_model(out)


KILLED = """
import os, signal, sys
from perception_tools.forecasting.scored import asked_agents
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.main import main

step = ForecastTask.training_step

def killed_in_the_third_segment(self, batch, batch_idx):
    if (self.current_epoch, batch_idx) == (2, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)

ForecastTask.training_step = killed_in_the_third_segment
main(sys.argv[1:])
"""


def test_a_run_that_is_killed_and_gone_on_with_ends_bit_equal_to_an_unbroken_one(
    make_run: MakeRun, assert_same_model: AssertSame, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"passes": 4, "dropout": 0.3}
    words = train_command(data, tmp_path / "killed", "--passes 4 --dropout 0.3")[3:]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], env=ONE_THREAD, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert checkpoint_of(tmp_path / "killed")["global_step"] == 8
    fit(make_run(tmp_path / "killed", recipe))
    assert "going on with the run" in capsys.readouterr().out
    fit(make_run(tmp_path / "unbroken", recipe))
    assert_same_model(tmp_path / "killed", tmp_path / "unbroken")
    assert read_curves(tmp_path / "killed") == read_curves(tmp_path / "unbroken")


@pytest.fixture(scope="module")
def alone(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process that those of two are held against. Tests must not change it."""
    out = tmp_path_factory.mktemp("fit") / "alone"
    fit(make_run(out, {"passes": 2, "dropout": 0.0}))
    return out


@pytest.mark.slow
def test_two_processes_train_as_one(alone: Path, data: Path, tmp_path: Path) -> None:
    words = train_command(data, tmp_path / "two", "--passes 2 --dropout 0 --devices 2 --accelerator cpu")
    two = subprocess.run(words, env=ONE_THREAD, capture_output=True, text=True, check=False)
    assert two.returncode == 0, two.stderr
    assert_same_forecasts(data, alone, tmp_path / "two")


KILLED_IN_THE_SECOND_SEGMENT = """
import os, signal, sys
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.main import main

step = ForecastTask.training_step

def killed(self, batch, batch_idx):
    if (self.current_epoch, batch_idx, self.global_rank) == (1, 1, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)

ForecastTask.training_step = killed
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_one_process_goes_on_with_a_run_of_torchruns_two_and_ends_as_if_it_had_been_alone(
    make_run: MakeRun, alone: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(KILLED_IN_THE_SECOND_SEGMENT)
    words = train_command(data, tmp_path / "moved", "--passes 2 --dropout 0 --devices 2 --accelerator cpu")[3:]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = subprocess.run(
        [*torchrun, str(tmp_path / "train.py"), *words], env=ONE_THREAD, capture_output=True, text=True
    )
    assert "Signal 9 (SIGKILL)" in two.stderr, two.stderr
    assert checkpoint_of(tmp_path / "moved")["global_step"] == 4
    fit(make_run(tmp_path / "moved", {"passes": 2, "dropout": 0.0}))
    assert "going on with the run" in capsys.readouterr().out
    assert_same_forecasts(data, alone, tmp_path / "moved")


def assert_same_forecasts(data: Path, left: Path, right: Path) -> None:
    """Compared by what they forecast: weights that no forecast depends on get rounding alone, which Adam magnifies."""
    scenarios = list(open_forecasting(data, "val").read_all(lambda *_: None))
    agents = [asked_agents(scenario) for scenario in scenarios]
    ours, theirs = (load_model(run).model.forecast(scenarios, agents) for run in (left, right))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.trajectories, other.trajectories, rtol=0, atol=2e-4)
        np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-5)
    curves, other_curves = read_curves(left), read_curves(right)
    for name in ("train/loss", "val/min_fde", "val/min_ade", "val/miss_rate", "val/min_fde_k1"):
        assert np.array(curves[name]) == pytest.approx(np.array(other_curves[name]), rel=1e-5), name


INTERRUPTIBLE = """
import signal, sys
from perception_tools.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background, a shell has it ignored
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_ends_in_one_line_and_the_run_can_go_on(data: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", INTERRUPTIBLE, *train_command(data, tmp_path, "--passes 100000")[3:]]
    with subprocess.Popen(words, env=ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        try:
            while not (tmp_path / RESUME_FILE).exists() and run.poll() is None:
                time.sleep(0.05)
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=120)
        finally:
            run.kill()
    assert run.returncode == 130
    *_, said = said.strip().splitlines()
    assert said == "perception train: stopped; the same command goes on from the last finished segment"
    assert checkpoint_of(tmp_path)["global_step"] % 4 == 0


def test_training_shows_its_progress_and_where_the_model_is_and_nothing_else(
    make_run: MakeRun, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Warnings are errors here anyway; this is about what Lightning logs and prints."""
    run = make_run(tmp_path, {"passes": 1})
    fit(run)
    shown = "".join(capsys.readouterr()).replace("\r", "\n").replace("\x1b[A", "\n").splitlines()
    said = [
        line
        for line in map(str.strip, shown)
        if line and not line.startswith(("Training:", "Epoch", "Validation", "warning: 3 of 5 scenarios"))
    ]
    following = f"perception evaluate {tmp_path} --data {run.data} --out …"
    assert said == [f"{tmp_path / MODEL_FILE} holds the model; next: {following}"]
    assert [record.message for record in caplog.records if record.levelname != "DEBUG"] == []


def test_half_precision_trains_like_full(make_run: MakeRun, tmp_path: Path) -> None:
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        fit(make_run(tmp_path / precision, {"passes": 2, "dropout": 0.0, "precision": precision}))
        losses[precision] = [value for _, value in read_curves(tmp_path / precision)["train/loss"]]
        weights = load_file(tmp_path / precision / MODEL_FILE)
        assert {value.dtype for value in weights.values()} == {torch.float32}
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.03)
    assert losses["bf16-mixed"] != losses["32-true"]


def test_a_broken_training_file_is_named_at_the_end(
    make_run: MakeRun, write_data: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "argoverse1")
    (data / "train" / "data" / "3.csv").write_text("nonsense\n")
    (data / "val" / "data" / "3.csv").write_text("nonsense\n")
    fit(make_run(tmp_path / "run", {"passes": 1}, data=data))
    said = capsys.readouterr().out
    assert "1 of 8 training scenarios could not be used:\n  3: " in said
    assert "3.csv" in said
    assert load_model(tmp_path / "run").training.steps == 4


def test_data_that_cannot_be_read_at_all_is_refused(make_run: MakeRun, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "broken")
    for path in (tmp_path / "broken" / "train" / "data").iterdir():
        path.write_text("nonsense\n")
    with pytest.raises(InputError, match=r"none of 8 scenarios could be used; the first: .*1\.csv"):
        fit(make_run(tmp_path / "run", data=tmp_path / "broken"))
    assert not (tmp_path / "run").exists()


def test_a_folder_with_another_run_is_left_alone(
    trained_run: Path, make_run: MakeRun, assert_same_model: AssertSame, tmp_path: Path
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    with pytest.raises(InputError, match=r"it holds a run with recipe\.seed 0, not 1; .* or give --restart"):
        fit(make_run(tmp_path / "run", {"seed": 1}))
    with pytest.raises(InputError, match=r"it holds a run with limit None, not 4;"):
        fit(make_run(tmp_path / "run", limit=4))
    assert_same_model(tmp_path / "run", trained_run)


def test_restart_forgets_the_run_that_was_there(trained_run: Path, make_run: MakeRun, tmp_path: Path, capsys) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    fit(make_run(tmp_path / "run", {"seed": 1, "passes": 1}, restart=True))
    assert "going on" not in capsys.readouterr().out
    assert load_model(tmp_path / "run").training.steps == 4
    assert [step for step, _ in read_curves(tmp_path / "run")["val/min_fde"]] == [3]


def test_restart_deletes_nothing_in_a_folder_that_holds_no_run(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    fit(make_run(tmp_path, {"passes": 1}, restart=True))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_the_run_ends_as_an_unbroken_one(
    trained_run: Path,
    make_run: MakeRun,
    assert_same_model: AssertSame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / FINISHED_FILE).unlink()
    (tmp_path / "run" / RESUME_FILE).write_bytes(b"")
    fit(make_run(tmp_path / "run"))
    said = capsys.readouterr().out
    assert "training goes on from the checkpoint before it" in said
    assert f"going on with the run in {tmp_path / 'run'} after step 8" in said
    assert_same_model(tmp_path / "run", trained_run)


def test_where_both_checkpoints_are_damaged_that_is_said(trained_run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / FINISHED_FILE).unlink()
    for path in (tmp_path / "run").glob("last*.ckpt"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"last\.ckpt: it cannot be parsed .*last-former\.ckpt: .*give --restart"):
        fit(make_run(tmp_path / "run"))


@pytest.mark.parametrize(
    "options",
    [
        {"accelerator": "nonsense"},
        {"accelerator": "tpu"},
        {"accelerator": "cpu", "devices": 0},
        {"workers": -1},
        {"limit": 0},
        {"recipe": {"seed": -1}},
        {"recipe": {"dim": 100, "heads": 8}},
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options: dict, make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected .*, got .*; "):
        fit(make_run(tmp_path, **options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_in_a_sentence(make_run: MakeRun, tmp_path: Path) -> None:
    for accelerator in ("gpu", "cuda"):
        with pytest.raises(InputError, match=f"accelerator={accelerator}, .* give --accelerator cpu"):
            fit(make_run(tmp_path, accelerator=accelerator))


def test_limits_shorten_both_splits(make_run: MakeRun, tmp_path: Path) -> None:
    fit(make_run(tmp_path, {"passes": 1}, limit=4, val_limit=1))
    training = load_model(tmp_path).training
    assert (training.scenarios, training.steps) == (4, 2)
