from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.stores import part, store
from perception_datasets.stores.group import METADATA, write_group
from perception_datasets.stores.part import PackedRecord
from perception_datasets.stores.schema import Record, Schema

SCHEMA = Schema((("values", "<f8", 1),))
INFO = store.StoreInfo("number", "somewhere", SCHEMA)


class Numbers(store.StoredSplit):
    schema: ClassVar[Schema] = SCHEMA


def number(record: Record) -> float:
    return float(record["values"][0])


def packed(*values: float) -> PackedRecord:
    return PackedRecord(*SCHEMA.pack({"values": np.array(values, dtype=np.float64)}), f"source-{len(values)}")


@pytest.fixture
def numbers(tmp_path: Path) -> Numbers:
    """A store with a split of two parts."""
    store.create_store(tmp_path, INFO)
    for place, records in enumerate(({"a": packed(1), "b": packed(2, 3)}, {"c": packed()})):
        part.write_part(store.part_path(tmp_path, "val", place), SCHEMA, records, {})
    digests = [part.read_index(path, SCHEMA).digest for path in store.part_folders(tmp_path, "val")]
    store.finish_split(tmp_path, "val", store.SplitInfo(tuple(digests)))
    return Numbers(tmp_path, "val", "somewhere")


def test_records_of_all_parts_are_read_by_name(numbers: Numbers) -> None:
    numbers = pickle.loads(pickle.dumps(numbers))
    assert store.read_info(numbers.folder) == INFO
    assert numbers.names() == ["a", "b", "c"]
    assert [numbers.read_as(name, number) for name in "ab"] == [1.0, 2.0]
    assert numbers.read_all_as(lambda record, source: (len(record["values"]), source)) == [
        (1, "source-1"),
        (2, "source-2"),
        (0, "source-0"),
    ]
    assert numbers.without("values") == ["c"]
    assert numbers.inputs("c") == [numbers.path("c")] == [numbers.folder / "val" / "part-00001"]
    assert len({numbers.digest(name) for name in "abc"}) == 3
    with pytest.raises(InputError, match="expected 'd' in val, found 3 others"):
        numbers.read_as("d", number)


def test_records_without_rows_are_found_in_every_part(tmp_path: Path) -> None:
    store.create_store(tmp_path, INFO)
    for place, records in enumerate(({"a": packed(), "b": packed(1)}, {"c": packed()}, {"d": packed(2)})):
        part.write_part(store.part_path(tmp_path, "val", place), SCHEMA, records, {})
    digests = tuple(part.read_index(path, SCHEMA).digest for path in store.part_folders(tmp_path, "val"))
    store.finish_split(tmp_path, "val", store.SplitInfo(digests))
    assert Numbers(tmp_path, "val", "somewhere").without("values") == ["a", "c"]


def test_a_record_that_cannot_be_converted_names_its_part(numbers: Numbers) -> None:
    with pytest.raises(RecordError, match=r"part-00001: it cannot be parsed .*; run `perception prepare` again"):
        numbers.read_as("c", number)


def test_an_incomplete_split_is_not_opened(numbers: Numbers) -> None:
    (numbers.folder / "val" / METADATA).unlink()
    with pytest.raises(InputError, match="expected a complete split 'val', found none; run `perception prepare`"):
        numbers.names()


def test_parts_in_another_order_and_splits_under_another_name_are_refused(numbers: Numbers) -> None:
    first, second = store.part_folders(numbers.folder, "val")
    first.rename(first.with_name("part-00009"))
    second.rename(first)
    first.with_name("part-00009").rename(second)
    with pytest.raises(RecordError, match=r"part-00000: expected the part \w+ of its split, found"):
        numbers.names()
    (numbers.folder / "val").rename(numbers.folder / "train")
    with pytest.raises(InputError, match="expected the digests of the parts of train"):
        store.read_split(numbers.folder, "train")


@pytest.mark.parametrize("split", ["..", ".", "", ".hidden", "a/b", "/", "a\0", "x" * 300, "a b"])
def test_a_split_has_a_name_that_stays_in_the_store(tmp_path: Path, split: str) -> None:
    with pytest.raises(InputError, match=r"split: expected a name of letters, digits, _, - and ., found"):
        store.read_split(tmp_path, split)


def test_only_folders_named_as_parts_are_parts(numbers: Numbers) -> None:
    place = numbers.folder / "val"
    for name in ("part-1", "parts", "data", "rows-00000", ".part-00002.ab12", ".rows-00001.cd34", ".rows", ".git"):
        (place / name).mkdir()
    assert [path.name for path in store.part_folders(numbers.folder, "val")] == ["part-00000", "part-00001"]
    assert [path.name for path in store.unfinished_folders(numbers.folder, "val")] == [
        ".part-00002.ab12",
        ".rows-00001.cd34",
    ]
    assert store.part_folders(numbers.folder, "test") == store.unfinished_folders(numbers.folder, "test") == []


def test_a_store_is_not_mixed_with_other_files_or_stores(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", INFO)
    store.create_store(tmp_path / "s", INFO)  # again is fine
    with pytest.raises(InputError, match="found one of number records from somewhere"):
        store.create_store(tmp_path / "s", store.StoreInfo("number", "elsewhere", SCHEMA))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="found other files; choose another folder"):
        store.create_store(tmp_path / "full", INFO)
    with pytest.raises(InputError, match="expected a folder for a store, found a file"):
        store.create_store(tmp_path / "full" / "file", INFO)


def test_numbers_of_different_accuracy_are_not_mixed(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", replace(INFO, decimals=2))
    assert store.read_info(tmp_path / "s") == replace(INFO, decimals=2)
    with pytest.raises(InputError, match="expected numbers as the files state them, found a store of numbers of 2 dec"):
        store.create_store(tmp_path / "s", INFO)
    with pytest.raises(InputError, match="expected numbers of 3 decimals, found a store of numbers of 2 decimals"):
        store.create_store(tmp_path / "s", replace(INFO, decimals=3))


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    store.create_store(tmp_path / "s", INFO)
    path = tmp_path / "s" / METADATA
    text = json.loads(path.read_text())
    text["attributes"]["version"] = 2
    path.write_text(json.dumps(text))
    with pytest.raises(
        InputError, match="expected store version 4, found 2; delete the store and run `perception prepare` again"
    ):
        store.read_info(tmp_path / "s")
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be parsed"):
        store.read_info(tmp_path / "s")
    del text["attributes"]["digest"]
    write_group(tmp_path / "s", {**text["attributes"], "version": 4, "schema": [["values", "<f8"]]})
    with pytest.raises(InputError, match=r"cannot be parsed .*; delete the store and run"):
        store.read_info(tmp_path / "s")


def test_a_folder_without_a_store_is_none(tmp_path: Path) -> None:
    assert store.read_info(tmp_path) is None
    (tmp_path / METADATA).write_text('{"zarr_format": 3, "node_type": "group", "attributes": {"of": "others"}}')
    assert store.read_info(tmp_path) is None
