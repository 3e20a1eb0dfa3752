import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.errors import InputError
from perception_datasets.stores import store

SCHEMA = store.Schema((("points", "<f8", 2), ("labels", "<i8", 1), ("flags", "|b1", 1)))
INFO = store.StoreInfo("scan", "somewhere", SCHEMA)


def make_record(seed: int, points: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"points": rng.normal(size=(points, 3)), "labels": rng.integers(0, 9, points), "flags": rng.random(2) < 0.5}


@settings(deadline=None, max_examples=40)
@given(
    points=hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)),
    flags=st.lists(st.booleans(), max_size=9),
)
def test_unpacking_restores_packed_records_exactly(points: np.ndarray, flags: list[bool]) -> None:
    record = {"points": points, "labels": np.arange(len(flags)), "flags": np.array(flags, bool)}
    data, shapes = SCHEMA.pack(record)
    assert len(data) % 8 == 0
    for name, values in SCHEMA.unpack(bytearray(data), shapes).items():
        assert values.tobytes() == record[name].tobytes()
        assert (values.shape, values.dtype) == (record[name].shape, record[name].dtype)
        assert values.flags.writeable  # torch.from_numpy warns of others
        assert values.flags.aligned


def test_a_record_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="labels: expected 1 axes of <i8, got 1 of <i4"):
        SCHEMA.pack({**make_record(0), "labels": np.zeros(5, np.int32)})


def test_records_of_all_parts_are_read_back(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", INFO)
    records = [
        {f"r{10 * part + row}": make_record(10 * part + row, 1 + 9000 * row) for row in range(3)} for part in (0, 1)
    ]
    for part, named in enumerate(records):
        store.write_part(store.part_path(tmp_path / "s", "val", part), SCHEMA, named, {})
    store.finish_split(tmp_path / "s", "val", 2)
    assert store.read_info(tmp_path / "s") == INFO
    names = store.read_names(tmp_path / "s", "val")
    assert names == [list(named) for named in records]
    for part, named in enumerate(records):
        for row, (_, record) in enumerate(named.items()):
            again = store.read_record(store.part_path(tmp_path / "s", "val", part), row, SCHEMA)
            for field in record:
                np.testing.assert_array_equal(again[field], record[field])


def test_a_part_without_records_is_possible(tmp_path: Path) -> None:
    path = store.part_path(tmp_path, "val", 0)
    store.write_part(path, SCHEMA, {}, {"bad": "why"})
    assert not store.part_is_done(path, ["bad"])


def test_a_part_is_done_if_it_holds_exactly_the_named_records(tmp_path: Path) -> None:
    path = store.part_path(tmp_path, "val", 0)
    assert not store.part_is_done(path, ["a"])
    store.write_part(path, SCHEMA, {"a": make_record(0)}, {})
    assert store.part_is_done(path, ["a"])
    assert not store.part_is_done(path, ["a", "b"])


def test_a_full_disk_keeps_the_former_part_and_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.part_path(tmp_path, "val", 0)
    store.write_part(path, SCHEMA, {"a": make_record(0)}, {})

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "_write_arrays", full_disk)
    with pytest.raises(InputError, match=r"part-00000: cannot be written \(No space left on device\); free some space"):
        store.write_part(path, SCHEMA, {"b": make_record(1)}, {})
    assert store.part_is_done(path, ["a"])


def test_an_incomplete_split_is_not_opened(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", INFO)
    store.write_part(store.part_path(tmp_path / "s", "val", 0), SCHEMA, {"a": make_record(0)}, {})
    with pytest.raises(InputError, match="expected a complete split 'val', found none; run `perception prepare`"):
        store.read_names(tmp_path / "s", "val")


def test_a_store_is_not_mixed_with_other_files_or_stores(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", INFO)
    store.create_store(tmp_path / "s", INFO)  # again is fine
    with pytest.raises(InputError, match="found one of scan records from somewhere"):
        store.create_store(tmp_path / "s", store.StoreInfo("scan", "elsewhere", SCHEMA))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="found other files; choose another folder"):
        store.create_store(tmp_path / "full", INFO)


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", INFO)
    path = tmp_path / "s" / "zarr.json"
    text = json.loads(path.read_text())
    text["attributes"]["version"] = 99
    path.write_text(json.dumps(text))
    with pytest.raises(InputError, match="expected store version 1, found 99; prepare it again"):
        store.read_info(tmp_path / "s")
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be parsed"):
        store.read_info(tmp_path / "s")


def test_a_folder_without_a_store_is_none(tmp_path: Path) -> None:
    assert store.read_info(tmp_path) is None


def test_a_part_can_be_read_at_once(tmp_path: Path) -> None:
    records = {str(i): make_record(i, points=i) for i in range(4)}
    store.write_part(tmp_path / "part", SCHEMA, records, failures={})
    for read, record in zip(store.read_part(tmp_path / "part", SCHEMA), records.values(), strict=True):
        for name in record:
            np.testing.assert_array_equal(read[name], record[name], strict=True)
    store.write_part(tmp_path / "empty", SCHEMA, {}, failures={"x": "broken"})
    assert store.read_part(tmp_path / "empty", SCHEMA) == []
