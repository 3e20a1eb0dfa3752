"""What of a folder is a run's, and what is not; one process writes there at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from perception import files
from perception.errors import InputError
from perception.files import alone_in
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.run import ForecastRun
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.training.fit import fit
from perception_tools.training.run import RUN_FILE
from perception_tools.training.run_folder import FINISHED_FILE, RESUME_FILE, RunFolder, flat, hash_file

MakeRun = Callable[..., ForecastRun]


@pytest.fixture
def finished(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    shutil.copytree(trained_run, tmp_path / "run")
    return tmp_path / "run"


def test_restart_deletes_what_training_wrote_and_nothing_else(make_run: MakeRun, finished: Path) -> None:
    events = next(finished.glob("events.out.tfevents.*"))
    log = finished / "csv" / "version_0" / "metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text("step\n")
    kept = {
        finished / "notes.txt": "which rate was best",
        finished / "csv" / "mine.csv": "a,b",
        finished / "data" / RUN_FILE: "{}",
        finished / "data" / RESUME_FILE: "",
        finished / "other.ckpt": "",
        finished / "my_model.safetensors": "",
    }
    for path, text in kept.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    former = RunFolder(make_run(finished, restart=True)).former_files()
    assert {path.name for path in former} >= {RESUME_FILE, "last-former.ckpt", MODEL_FILE, FINISHED_FILE, events.name}
    fit(make_run(finished, {"passes": 1, "seed": 1}, restart=True, logger=()))
    assert {path: path.read_text() for path in kept} == kept
    assert not events.exists()
    assert not log.exists()
    assert load_model(finished).training.steps == 4
    assert not (finished / "last-former.ckpt").exists()


def test_restart_takes_nothing_from_a_run_before_the_new_one_is_ready(make_run: MakeRun, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.iterdir() if path.name != ".lock"}
    for options in ({"accelerator": "nonsense"}, {"split": "nonsense"}, {"logger": ("nonsense",)}):
        with pytest.raises(InputError):
            fit(make_run(finished, {"passes": 1}, restart=True, **options))
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"accelerator": "nonsense"},
        {"logger": ("nonsense",)},
        {"recipe": {"modes": 0}},
        {"recipe": {"learning_rate": 1e30}},
    ],
)
def test_a_start_that_failed_does_not_stand_in_the_way_of_the_corrected_one(
    wrong: dict, make_run: MakeRun, tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        fit(make_run(tmp_path, **{"recipe": {"passes": 1}, **wrong}))
    if "learning_rate" not in wrong.get("recipe", {}):
        assert not (tmp_path / RUN_FILE).exists()
    fit(make_run(tmp_path, {"passes": 1}))
    assert json.loads((tmp_path / RUN_FILE).read_text())["recipe"]["learning_rate"] == 5e-4


def test_every_difference_to_the_run_that_is_there_is_named_with_both_values(make_run: MakeRun, finished: Path) -> None:
    with pytest.raises(InputError) as refused:
        fit(make_run(finished, {"dropout": 0.2, "seed": 3}, limit=4))
    assert str(refused.value) == (
        f"{finished}: it holds a run with limit None, not 4, recipe.dropout 0.1, not 0.2, recipe.seed 0, not 3; "
        "choose another --out, or give --restart to replace it"
    )


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_a_damaged_description_is_named(content: str, make_run: MakeRun, finished: Path) -> None:
    (finished / RUN_FILE).write_text(content)
    with pytest.raises(InputError, match=rf"{RUN_FILE}: .*; choose another --out, or give --restart"):
        fit(make_run(finished))


@pytest.mark.parametrize("restart", [False, True])
def test_work_of_which_nothing_says_what_it_is_stays_as_it_is(restart: bool, make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / RESUME_FILE).write_text("somebody's")
    with pytest.raises(InputError, match=r"expected run\.json beside last\.ckpt, found none"):
        fit(make_run(tmp_path, restart=restart))
    assert (tmp_path / RESUME_FILE).read_text() == "somebody's"


def test_a_finished_run_whose_model_is_gone_or_another_one_says_so(make_run: MakeRun, finished: Path) -> None:
    model = finished / MODEL_FILE
    with model.open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="expected the model that training ended with, found another; give --restart"):
        fit(make_run(finished))
    model.unlink()
    with pytest.raises(InputError, match="training has ended, but the model that it left is gone; give --restart"):
        fit(make_run(finished))
    (finished / FINISHED_FILE).unlink()  # runs of earlier versions have none
    with pytest.raises(InputError, match="training has ended, but the model is gone; give --restart"):
        fit(make_run(finished))


def test_a_second_process_is_refused_and_changes_nothing(
    make_run: MakeRun, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.0)
    (finished / FINISHED_FILE).unlink()
    before = {path: path.read_bytes() for path in finished.iterdir() if path.name != ".lock"}
    with (
        alone_in(finished, "a training run"),
        pytest.raises(InputError, match="expected no other writer, found a training run"),
    ):
        fit(make_run(finished, {"passes": 1}, restart=True))
    assert {path: path.read_bytes() for path in before} == before


def test_what_a_killed_run_left_half_written_is_removed(make_run: MakeRun, tmp_path: Path) -> None:
    folder = RunFolder(make_run(tmp_path))
    for name in (".last.ckpt.12-ab", ".model.safetensors.12-ab", ".model.safetensors.12-ab.plain", ".mine.12-ab"):
        (tmp_path / name).write_text("half")
    with folder.held():
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".mine.12-ab"]


def test_numbers_are_named_with_dots() -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}


def test_a_file_is_known_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
