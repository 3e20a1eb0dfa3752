from pathlib import Path

import numpy as np

from perception_datasets.errors import RecordError
from perception_datasets.stores import store
from perception_datasets.stores.writer import write_split

INFO = store.StoreInfo("number", "test", store.Schema((("value", "<f8", 1),)))


def read(name: str) -> store.Record:
    if name == "bad":
        raise RecordError("bad.txt: it cannot be parsed; repair it")
    return {"value": np.full(3, float(name))}


def test_parts_hold_their_records_in_order_and_what_failed_is_named(tmp_path: Path) -> None:
    names = ["1", "2", "bad", "4", "5"]
    steps = list(write_split(tmp_path, INFO, "all", names, read, part_records=2, processes=1))
    assert [count for count, _ in steps] == [2, 2, 1]
    assert [list(failures.reasons) for _, failures in steps] == [[], ["bad"], []]
    assert store.read_names(tmp_path, "all") == [["1", "2"], ["4"], ["5"]]
    record = store.read_record(store.part_path(tmp_path, "all", 1), 0, INFO.schema)
    np.testing.assert_array_equal(record["value"], [4.0, 4.0, 4.0])


def test_parts_that_are_no_longer_needed_are_deleted(tmp_path: Path) -> None:
    for names in (["1", "2", "3"], ["1"]):
        list(write_split(tmp_path, INFO, "all", names, read, part_records=1, processes=1))
    assert store.read_names(tmp_path, "all") == [["1"]]
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["part-00000", "zarr.json"]


def test_a_split_without_records_is_complete(tmp_path: Path) -> None:
    assert list(write_split(tmp_path, INFO, "all", [], read, processes=1)) == []
    assert store.read_names(tmp_path, "all") == []
