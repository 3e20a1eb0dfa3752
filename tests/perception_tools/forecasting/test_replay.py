import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch

from perception.encoders.mm_transformer.input import SceneInput
from perception.encoders.query_centric.input import GraphInput
from perception.encoders.vectornet.input import VectorizedInput
from perception.kernels.precision import Precision
from perception_tools.forecasting.model import TrainedForecaster, Training, build_forecaster, load_model, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.replay import play
from perception_tools.forecasting.replay import replay as replay_command
from perception_tools.main import main
from perception_tools.model_metadata import MODEL_FILE


@pytest.fixture(autouse=True)
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warms nodes up for one size: all sizes take seconds, and are tested with the node."""
    monkeypatch.setattr(VectorizedInput, "warm_up_agents", lambda _self, _most: (1,))


def replay(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main(["replay", *map(str, words)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_one_line_of_json_says_how_a_replay_went(
    sensor_log: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (sensor_log, "--node", "forecast", "--checkpoint", trained_run, "--lockstep", "--out")
    first, second = (replay(capsys, *words, tmp_path / f"{i}.mcap") for i in range(2))
    assert (first["frames"], first["answered"], first["dropped"], first["windows_compared"]) == (30, 30, 0, 11)
    assert first["forecasts"] + first["extrapolations"] == 25 * 4 + 5 * 3
    assert first["forecasts"] >= 60
    assert first["self_score"]["by_source"]["model"]["1s"]["objects"] > 0
    assert first["max_difference_to_offline"] < 1e-5
    assert set(first["latency_ms"]) == {"p50", "p99", "max"}
    assert first["model"].startswith("forecast/vectornet-llama@")
    assert len(first["sha256"]) == 64
    unrecorded = replay(capsys, *words[:-1])
    assert first["sha256"] == second["sha256"] == unrecorded["sha256"]
    assert (tmp_path / "0.mcap").stat().st_size > 10_000


def test_the_blocks_precision_is_said_and_shows_in_the_difference_to_offline(
    sensor_log: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = load_model(trained_run)
    with torch.no_grad():  # of so short a training the block's part is a thousandth of the tokens'
        trained.model.get_parameter("block.project_out.weight").mul_(300)
    save_model(tmp_path / MODEL_FILE, trained.model, trained.recipe, trained.training)
    words = (sensor_log, "--checkpoint", tmp_path)
    exact = replay(capsys, *words)
    narrow = replay(capsys, *words, "--precision", "int8_dynamic")
    assert (exact["precision"], narrow["precision"]) == ("float32", "int8_dynamic")
    assert exact["model"].endswith(":float32")
    assert narrow["model"] == exact["model"].replace(":float32", ":int8_dynamic")
    assert exact["max_difference_to_offline"] < 1e-4 < narrow["max_difference_to_offline"] < 1
    assert exact["sha256"] != narrow["sha256"]


def test_the_precisions_to_choose_from_are_the_blocks() -> None:
    assert get_args(get_type_hints(replay_command)["precision"]) == get_args(Precision)


def test_what_a_replay_records_can_be_replayed(
    sensor_log: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--checkpoint", trained_run)
    first = replay(capsys, sensor_log, *words, "--out", tmp_path / "a.mcap")
    runs = [replay(capsys, tmp_path / "a.mcap", *words, "--player", tmp_path / "a.html") for _ in range(2)]
    assert first["sha256"] == runs[0]["sha256"] == runs[1]["sha256"]
    assert (runs[0]["answered"], runs[0]["max_difference_to_offline"]) == (30, None)
    assert "Replay of a" in (tmp_path / "a.html").read_text()


def test_a_replay_writes_a_recording_for_rerun(
    sensor_log: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "drive.rrd"
    replay(capsys, sensor_log, "--checkpoint", trained_run, "--rerun", path)
    assert path.read_bytes()[:4] == b"RRF2"


def test_without_rerun_the_extra_is_named_before_anything_is_played(
    sensor_log: Path,
    trained_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    words = ["replay", str(sensor_log), "--checkpoint", str(trained_run), "--rerun", str(tmp_path / "drive.rrd")]
    assert main(words) == 2
    assert "pip install 'frozen-perception[rerun]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_real_time_replay_writes_a_player(
    sensor_log: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the recording's pace: 3 s; a busy machine may drop frames, but says so."""
    page = tmp_path / "player.html"
    summary = replay(capsys, sensor_log, "--checkpoint", trained_run, "--real-time", "--player", page)
    assert summary["pace"] == "real time"
    assert summary["answered"] + summary["dropped"] == 30
    assert "Replay of log0" in page.read_text()


def test_a_replay_is_held_against_its_baseline_and_fails_with_a_picture_where_it_differs(
    sensor_log: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--checkpoint", trained_run)
    replay(capsys, sensor_log, *words, "--write-baseline", tmp_path / "a.json")
    page = tmp_path / "a.html"
    same = replay(capsys, sensor_log, *words, "--compare", tmp_path / "a.json", "--differences", page)["comparison"]
    assert (same["max_position_m"], same["max_probability"], same["refused"], same["changed"]) == (0, 0, 0, 0)
    assert "All differences are within what is allowed." in page.read_text()

    trained = load_model(trained_run)
    with torch.no_grad():
        trained.model.get_parameter("head.regress.1.weight").mul_(1.5)
    save_model(tmp_path / MODEL_FILE, trained.model, trained.recipe, trained.training)
    compared = ["replay", sensor_log, "--checkpoint", tmp_path, "--compare", tmp_path / "a.json", "--differences", page]
    assert main(list(map(str, compared))) == 2
    said = capsys.readouterr().err
    sentence = said[said.index("perception replay: ") :]
    assert sentence.count("\n") == 1
    assert "the replay of log0 is not as its baseline: the baseline is of the model" in sentence
    assert "positions differ by up to" in sentence
    assert "positions differ by up to" in page.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lockstep", "--real-time"], "expected one pace, got both"),
        (["--threads", "0"], "--threads 0: expected at least 1"),
        (["--differences", "a.html"], "--differences a.html: expected a baseline too, got none"),
        (["--compare", "a.json", "--real-time"], "--compare --real-time: expected lockstep"),
        (["--compare", "a.json", "--differences", "a.pdf"], "expected a name that ends in .html or .png"),
        (["--compare", "a.json"], "a.json: no such file"),
        (["--rerun", "drive.html"], "--rerun drive.html: expected a name that ends in .rrd"),
    ],
)
def test_contradictory_words_are_refused(
    sensor_log: Path, trained_run: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["replay", str(sensor_log), "--checkpoint", str(trained_run), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_log_is_named(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(tmp_path), "--checkpoint", str(trained_run)]) == 2
    assert str(tmp_path / "annotations.feather") in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "mmtransformer", "view": "agent", "loss": "proposals"},
        {"encoder": "mmtransformer", "view": "scene", "loss": "proposals"},
        {"encoder": "query-centric"},
    ],
    ids=lambda changes: "-".join(changes.values()),
)
def test_other_encoders_stream_what_they_say_offline(
    changes: dict, sensor_log: Path, tiny_recipe: ForecastRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shown in (SceneInput, GraphInput):
        monkeypatch.setattr(shown, "warm_up_agents", lambda _self, _most: (1,))
    recipe = replace(tiny_recipe, **changes)
    model = build_forecaster(recipe, 30).eval()
    played = play(sensor_log, TrainedForecaster(model, recipe, Training("tiny", "argoverse1", 8, 20, 30, 0)))
    summary = played.summary()
    assert (summary["frames"], summary["answered"], summary["windows_compared"]) == (30, 30, 11)
    assert summary["forecasts"] > 50
    assert summary["max_difference_to_offline"] < 1e-4
