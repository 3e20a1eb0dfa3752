import pickle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting


def test_a_split_is_a_sequence_of_scenarios_in_a_fixed_order(argoverse1: Path) -> None:
    val = open_forecasting(argoverse1, "val")
    assert (val.source, val.split, len(val)) == ("argoverse1", "val", 5)
    assert list(val.ids) == ["1", "2", "3", "4", "5"]
    assert [val[i].id for i in range(5)] == list(val.ids)
    assert val.paths[2] == argoverse1 / "val" / "data" / "3.csv"
    assert list(open_forecasting(argoverse1, "val", limit=2).ids) == ["1", "2"]


def test_a_folder_of_scenarios_can_be_pickled(argoverse1: Path) -> None:
    val = open_forecasting(argoverse1, "val")
    copy = pickle.loads(pickle.dumps(val))
    np.testing.assert_array_equal(copy[1].agents.position, val[1].agents.position)


def test_one_bad_scenario_of_five_is_reported_and_the_rest_is_read(argoverse1: Path) -> None:
    path = argoverse1 / "val" / "data" / "3.csv"
    path.write_text(path.read_text()[:500])
    val, failures = open_forecasting(argoverse1, "val"), Failures()
    assert [scenario.id for scenario in val.read_all(failures.add)] == ["1", "2", "4", "5"]
    assert list(failures.reasons) == ["3"]
    report = failures.report(len(val))
    assert report.startswith("1 of 5 scenarios could not be read\n  3: ")
    assert str(path) in report
    with pytest.raises(RecordError, match=r"3\.csv"):
        val[2]


def test_an_error_keeps_its_kind_across_process_borders(argoverse1: Path) -> None:
    (argoverse1 / "val" / "data" / "1.csv").write_text("nothing")
    with pytest.raises(RecordError) as raised:
        open_forecasting(argoverse1, "val")[0]
    copy = pickle.loads(pickle.dumps(raised.value))
    assert type(copy) is RecordError
    assert str(copy) == str(raised.value)


def test_a_folder_that_cannot_be_opened_is_refused_with_what_was_expected(argoverse1: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected scenarios of split 'val' .* found an empty folder; give a folder"):
        open_forecasting(tmp_path / "empty", "val")
    with pytest.raises(InputError, match="expected a folder with forecasting data, found none"):
        open_forecasting(tmp_path / "absent", "val")
    with pytest.raises(InputError, match=r"found 3 entries \(map_files, train, val\)"):
        open_forecasting(argoverse1, "test")


def test_a_data_set_without_its_map_is_refused_at_once(argoverse1: Path) -> None:
    (argoverse1 / "map_files").rename(argoverse1 / "elsewhere")
    with pytest.raises(InputError, match=r"expected Argoverse 1's vector maps .* unpack .*hd_maps"):
        open_forecasting(argoverse1, "val")


def test_argoverse1s_official_folders_are_recognised(argoverse1: Path) -> None:
    (argoverse1 / "val").rename(argoverse1 / "test_obs")
    assert len(open_forecasting(argoverse1, "test")) == 5
    sample = argoverse1.parent / "forecasting_sample"
    (argoverse1 / "test_obs").rename(sample)  # data/ lies in it
    with pytest.raises(InputError, match="expected Argoverse 1's vector maps"):
        open_forecasting(sample, "val")  # those of a data set beside it are not its own
    (argoverse1 / "map_files").rename(argoverse1.parent / "map_files")
    assert open_forecasting(sample, "val")[0].id == "1"
    assert open_forecasting(sample / "data", "val")[0].id == "1"


@pytest.mark.parametrize("layout", ["argoverse1", "argoverse2"])
def test_a_folder_of_one_split_is_taken_for_no_other(
    layout: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = request.getfixturevalue(layout)
    assert len(open_forecasting(folder / "val", "val")) > 3
    with pytest.raises(InputError, match="expected scenarios of split 'train', found the folder of split 'val'; give"):
        open_forecasting(folder / "val", "train")
    monkeypatch.chdir(folder / "val")
    with pytest.raises(InputError, match="found the folder of split 'val'"):
        open_forecasting(Path(), "train")
    loose = (folder / "val").rename(folder.parent / "loose")
    if layout == "argoverse1":
        (folder / "map_files").rename(folder.parent / "map_files")
    assert len(open_forecasting(loose, "test")) > 3
    with pytest.raises(InputError, match="expected a folder nonsense in it, found scenarios without a split level"):
        open_forecasting(loose, "nonsense")
    if layout == "argoverse1":
        with pytest.raises(InputError, match="the folder of split 'test'"):
            open_forecasting((loose.rename(folder.parent / "test_obs")) / "data", "val")


@pytest.mark.parametrize("split", ["", ".", "..", "../val", "/", "val/"])
def test_a_split_is_the_name_of_a_folder(split: str, argoverse1: Path) -> None:
    with pytest.raises(InputError, match="expected the name of a folder"):
        open_forecasting(argoverse1, split)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_without_a_scenario_is_refused(limit: int, argoverse1: Path) -> None:
    with pytest.raises(InputError, match=f"limit {limit}: expected at least 1"):
        open_forecasting(argoverse1, "val", limit=limit)


def fetch(folder: ScenarioFolder, index: int) -> str:
    return folder[index].id


@pytest.mark.parametrize("layout", ["argoverse1", "made_argoverse2"])
def test_forked_workers_read_what_their_parent_has_read_before(layout: str, request: pytest.FixtureRequest) -> None:
    """As DataLoader workers do; a reader that leaves threads behind would hang here."""
    folder = open_forecasting(request.getfixturevalue(layout), "val")
    assert folder[0].id == folder.ids[0]
    with get_context("fork").Pool(1) as pool:
        assert pool.apply_async(fetch, (folder, 1)).get(timeout=60) == folder.ids[1]
