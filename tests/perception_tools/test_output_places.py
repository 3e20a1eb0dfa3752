from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.main import main
from perception_tools.output_places import keep_apart


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A data set with a split that is a link to another disk, and links to both."""
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "disk" / "val").mkdir(parents=True)
    (tmp_path / "data" / "val").symlink_to(tmp_path / "disk" / "val")
    (tmp_path / "data" / "index.json").write_text("{}")
    (tmp_path / "to_data").symlink_to(tmp_path / "data")
    (tmp_path / "to_train").symlink_to(tmp_path / "data" / "train")
    return tmp_path


@pytest.mark.parametrize(
    ("out", "relation"),
    [
        ("data", "it is the same"),
        ("to_data", "it is the same"),
        ("other/../data", "it is the same"),
        ("data/runs/1", "it lies in that"),
        ("to_train/run", "it lies in that"),
        ("disk/val/run", "it lies in that"),
        ("", "it holds that"),
        ("disk", "it holds that"),
    ],
)
def test_results_are_kept_out_of_the_data_and_from_around_it(places: Path, out: str, relation: str) -> None:
    with pytest.raises(InputError, match=f"apart from the data in {places / 'data'}, but {relation}; choose"):
        keep_apart([places / out], [places / "data"])


@pytest.mark.parametrize("out", ["out", "data_2", "disk/out", "data.json"])
def test_results_may_lie_beside_the_data(places: Path, out: str) -> None:
    keep_apart([places / out], [places / "data", places / "to_data", places / "missing"])


def test_a_file_that_is_read_is_not_written_over_but_may_lie_beside_the_results(places: Path) -> None:
    read = places / "disk" / "predictions.json"
    read.write_text("{}")
    keep_apart([places / "disk", places / "disk" / "metrics.json"], [read])
    (places / "disk" / "metrics.json").symlink_to(read)
    with pytest.raises(InputError, match="it is the same"):
        keep_apart([places / "disk" / "metrics.json"], [read])


@pytest.mark.parametrize(
    "words",
    [
        "train forecast/vectornet --data {data} --out {data} --restart",
        "sweep forecast/vectornet --data {data} --out {data}/sweep",
        "evaluate {run} --data {data} --out {data}/val",
        "evaluate {answerer} --data {data} --out {data}",
        "replay {data} --checkpoint {run} --out {data}/replay.mcap",
        "replay {data} --checkpoint {run} --player {run}/model.safetensors",
        "demo --data {data} --out {data}/demo",
        "block fold {run} {data}/folded --data {data}",
        "score sqa3d {data}/answers.jsonl --questions {data}/q --annotations {data}/a --out {data}",
    ],
)
def test_every_command_that_reads_data_and_writes_results_refuses_to_mix_them(
    words: str, trained_run: Path, trained_answerer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("answers.jsonl", "run.json"):
        (tmp_path / name).write_text("{}")
    assert main(words.format(data=tmp_path, run=trained_run, answerer=trained_answerer).split()) == 2
    assert "expected a place for the results apart from the data in " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "run.json"]
    assert (trained_run / "model.safetensors").stat().st_size > 1000
