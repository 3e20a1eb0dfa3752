import shutil
from pathlib import Path

import pytest

from perception_datasets.forecasting import open_forecasting
from perception_tools.main import main


def test_the_command_prepares_splits_and_reports_bad_scenes(
    argoverse1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = argoverse1 / "val" / "data" / "2.csv"
    bad.write_text("broken")
    assert main(["prepare", "forecasting", str(argoverse1), str(tmp_path / "store"), "--processes", "1"]) == 0
    out = capsys.readouterr().out
    assert "train: 2 scenarios" in out
    assert "val: 4 scenarios" in out
    assert f"1 of 5 scenarios could not be read\n  2: {bad}" in out
    assert len(open_forecasting(tmp_path / "store", "val")) == 4
    assert out.count("so one process would take 205,942 in ") == 2
    verify = ["prepare", "forecasting", str(argoverse1), str(tmp_path / "store"), "--verify", "--splits"]
    assert main([*verify, "train"]) == 0
    assert "train: 2 scenarios are whole" in capsys.readouterr().out
    assert main([*verify, "val"]) == 1
    assert "1 more could not be read, or are new: 2" in capsys.readouterr().out
    (shard,) = (tmp_path / "store" / "val").glob("part-*/bytes/c/0")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    assert main([*verify, "val"]) == 1
    out = capsys.readouterr().out
    assert "val: 2 scenarios are whole" in out, "those in the first half of the file"
    assert "record 4 is damaged" in out
    assert "record 5 is damaged" in out


def test_scenarios_without_a_split_level_do_not_become_two_splits(
    made_argoverse2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loose = Path(shutil.copytree(made_argoverse2 / "val", tmp_path / "loose"))
    assert main(["prepare", "forecasting", str(loose), str(tmp_path / "store"), "--processes", "1"]) == 2
    assert "expected different scenarios in splits 'train' and 'val', found the same files" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    words = ["prepare", "forecasting", str(loose), str(tmp_path / "store"), "--splits", "val", "--processes", "1"]
    assert main(words) == 0
    assert len(open_forecasting(tmp_path / "store", "val")) == 4


def test_the_exit_status_tells_that_nothing_could_be_read(
    argoverse1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (argoverse1 / "val" / "data").glob("*.csv"):
        path.write_text("broken")
    command = ["prepare", "forecasting", str(argoverse1), str(tmp_path / "store"), "--splits", "val"]
    assert main([*command, "--processes", "1"]) == 1
    assert "val: 0 scenarios" in capsys.readouterr().out


@pytest.mark.parametrize("split", ["..", "../data", ".", "/"])
def test_a_split_that_leaves_the_store_is_refused_and_nothing_is_touched(
    argoverse1: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    raw, out = argoverse1, argoverse1.parent / "beside" / "store"
    before = sorted(argoverse1.rglob("*"))
    assert main(["prepare", "forecasting", str(raw), str(out), "--splits", "val", split]) == 2
    assert "split: expected a name of letters" in capsys.readouterr().err
    assert sorted(argoverse1.rglob("*")) == before
    assert not out.exists()


@pytest.mark.parametrize("out", [".", "store", ".."])
def test_a_store_that_is_not_apart_from_the_data_is_refused(
    argoverse1: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    before = sorted(argoverse1.rglob("*"))
    assert main(["prepare", "forecasting", str(argoverse1), str(argoverse1 / out)]) == 2
    assert "expected a place for the results apart from the data in" in capsys.readouterr().err
    assert sorted(argoverse1.rglob("*")) == before


def test_a_place_where_no_store_can_be_is_one_sentence(
    argoverse1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out in ("file", "file/store"):
        assert main(["prepare", "forecasting", str(argoverse1), str(tmp_path / out)]) == 2
        assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_folder_without_data_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    assert main(["prepare", "forecasting", str(tmp_path / "raw"), str(tmp_path / "store")]) == 2
    assert "expected scenarios of split 'train'" in capsys.readouterr().err


def test_help_names_what_goes_in_and_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", "forecasting", "--help"])
    assert "RAW STORE" in capsys.readouterr().out.splitlines()[0]


def test_only_a_store_can_be_verified(argoverse1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "forecasting", str(argoverse1), str(tmp_path / "none"), "--verify"]) == 2
    assert "expected a store, found none; prepare it first" in capsys.readouterr().err


def test_processes_of_this_host_and_of_a_cluster_are_not_mixed(
    argoverse1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "prepare",
        "forecasting",
        str(argoverse1),
        str(argoverse1.parent / "store"),
        "--processes",
        "1",
        "--ray",
        "auto",
    ]
    assert main(command) == 2
    assert "--processes and --ray: expected one of them" in capsys.readouterr().err


def test_a_store_is_written_to_a_url_and_read_from_there(argoverse1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"file://{argoverse1.parent / 'remote' / 'store'}"
    command = ["prepare", "forecasting", str(argoverse1), url, "--splits", "val", "--processes", "1"]
    assert main(command) == 0
    assert f"val: written to {url}" in capsys.readouterr().out
    assert len(open_forecasting(Path(url), "val")) == 5
    assert len(open_forecasting(argoverse1.parent / "remote" / "store", "val")) == 5
