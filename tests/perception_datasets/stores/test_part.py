from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.stores import part
from perception_datasets.stores.group import METADATA, write_group
from perception_datasets.stores.part import PackedRecord
from perception_datasets.stores.schema import Schema

SCHEMA = Schema((("points", "<f8", 2), ("labels", "<i8", 1), ("flags", "|b1", 1)))


def make_record(seed: int, points: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"points": rng.normal(size=(points, 3)), "labels": rng.integers(0, 9, points), "flags": rng.random(2) < 0.5}


def packed(record: dict[str, np.ndarray], source: str = "source") -> PackedRecord:
    return PackedRecord(*SCHEMA.pack(record), source)


RECORDS = {f"r{row}": make_record(row, 1 + 9000 * row) for row in range(3)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "val" / "part-00000"
    part.write_part(path, SCHEMA, {name: packed(record) for name, record in RECORDS.items()}, {"bad": "why"})
    return path


def test_records_are_read_back_one_by_one_and_together(written: Path) -> None:
    index = part.read_index(written, SCHEMA)
    assert (index.names, index.sources) == (("r0", "r1", "r2"), ("source",) * 3)
    assert index.failures == {"bad": "why"}
    together = part.read_part(written, index.digest, SCHEMA)
    for row, record in enumerate(RECORDS.values()):
        one = part.read_record(written, index.digest, row, SCHEMA)
        for read in (one, together[row]):
            for name, values in record.items():
                np.testing.assert_array_equal(read[name], values, strict=True)
                assert read[name].flags.writeable  # torch.from_numpy warns of others
                assert read[name].flags.aligned


def test_a_part_without_records_and_records_without_bytes_are_possible(tmp_path: Path) -> None:
    part.write_part(tmp_path / "part-00000", SCHEMA, {}, {"bad": "why"})
    index = part.read_index(tmp_path / "part-00000", SCHEMA)
    assert part.read_part(tmp_path / "part-00000", index.digest, SCHEMA) == []
    empty = {"points": np.zeros((0, 3)), "labels": np.zeros(0, np.int64), "flags": np.zeros(0, bool)}
    part.write_part(tmp_path / "part-00001", SCHEMA, {"a": packed(empty)}, {})
    index = part.read_index(tmp_path / "part-00001", SCHEMA)
    assert part.read_record(tmp_path / "part-00001", index.digest, 0, SCHEMA)["points"].shape == (0, 3)


def read_all(path: Path, own: str) -> list[dict[str, np.ndarray]]:
    part.open_index.cache_clear()
    part._open_part.cache_clear()
    return [part.read_record(path, own, row, SCHEMA) for row in range(3)]


def test_no_flipped_bit_changes_a_value(written: Path) -> None:
    own = part.read_index(written, SCHEMA).digest
    chance = np.random.default_rng(0)
    files = [path for path in written.rglob("*") if path.is_file()]
    assert len(files) == 3
    messages = []
    for path in files:
        whole = path.read_bytes()
        for place in chance.choice(8 * len(whole), 60, replace=False):
            changed = bytearray(whole)
            changed[place // 8] ^= 1 << int(place % 8)
            path.write_bytes(changed)
            try:
                records = read_all(written, own)
            except RecordError as error:
                messages.append(str(error))
            else:
                for read, record in zip(records, RECORDS.values(), strict=True):
                    for name, values in record.items():
                        np.testing.assert_array_equal(read[name], values, strict=True)
        path.write_bytes(whole)
    assert len(messages) > 150
    assert all(str(written) in message and part.CURE in message for message in messages)


def test_a_missing_shard_is_not_read_as_zeros(written: Path) -> None:
    own = part.read_index(written, SCHEMA).digest
    (written / "bytes" / "c" / "0").unlink()
    with pytest.raises(RecordError, match=r"part-00000: no such file; run `perception prepare` again"):
        read_all(written, own)
    with pytest.raises(RecordError, match=r"part-00000: no such file; run `perception prepare` again"):
        part.read_part(written, own, SCHEMA)


def test_a_record_of_other_bytes_than_the_index_says_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part-00000"
    with monkeypatch.context() as other:
        other.setattr(part, "digest", lambda *_: "0" * 64)
        part.write_part(path, SCHEMA, {"r0": packed(make_record(0))}, {})
    own = part.read_index(path, SCHEMA).digest
    complaint = r"record r0: expected bytes with the digest 0{64}, found \w+; run `perception prepare` again"
    with pytest.raises(RecordError, match=complaint):
        part.read_record(path, own, 0, SCHEMA)
    with pytest.raises(RecordError, match=complaint):
        part.read_part(path, own, SCHEMA)


def test_another_part_in_its_place_is_refused(written: Path) -> None:
    own = part.read_index(written, SCHEMA).digest
    part.write_part(written, SCHEMA, {"r0": packed(make_record(9))}, {})
    with pytest.raises(RecordError, match=rf"part-00000: expected the part {own} of its split, found"):
        part.read_record(written, own, 0, SCHEMA)


def change_array(path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    metadata = path / "bytes" / METADATA
    content = json.loads(metadata.read_text())
    change(content)
    metadata.write_text(json.dumps(content))
    return part.read_index(path, SCHEMA).digest


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array.update(codecs=[{"name": "numcodecs.pickle"}]),
        lambda array: array["codecs"].append({"name": "numcodecs.pickle"}),
        lambda array: array["codecs"].append({"name": "gzip"}),
        lambda array: array.update(storage_transformers=[{"name": "anything"}]),
        lambda array: array.update(shape=[10**12]),
        lambda array: array.update(zarr_format=2),
        lambda array: array.update(data_type="float64"),
        lambda array: array.update(fill_value=1),
    ],
)
def test_an_array_with_any_other_metadata_is_not_opened(
    written: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], object]
) -> None:
    own = change_array(written, change)
    monkeypatch.setattr(part.zarr, "open_array", pytest.fail)
    with pytest.raises(RecordError, match=r"bytes/zarr.json differs from the metadata of an array of \d+ bytes"):
        read_all(written, own)


@pytest.mark.parametrize("size", [-1, 1.5, True, "9", 10**12, 2**70])
def test_sizes_that_its_file_cannot_hold_are_refused(written: Path, size: Any) -> None:
    write_group(written, index_of(["a"], [[0, 3, 0, 0]], sizes=[size]))
    with pytest.raises(RecordError, match=r"part-00000: |record a: expected the bytes that were written"):
        part.read_record(written, part.read_index(written, SCHEMA).digest, 0, SCHEMA)


def test_zarr_reads_the_same_bytes(written: Path) -> None:
    array = zarr.open_group(written, mode="r", zarr_format=3)[part.ARRAY]
    assert isinstance(array, zarr.Array)
    assert np.asarray(array[:]).tobytes() == (written / part.CHUNK).read_bytes()


def test_a_part_is_added_only_where_there_is_none(written: Path, tmp_path: Path) -> None:
    former = part.read_index(written, SCHEMA).digest
    other = {"other": packed(make_record(9))}
    assert not part.write_part(written, SCHEMA, other, {}, replace=False)
    assert part.read_index(written, SCHEMA).digest == former
    assert part.write_part(tmp_path / "val" / "part-00001", SCHEMA, other, {}, replace=False)
    assert sorted(path.name for path in written.parent.iterdir()) == ["part-00000", "part-00001"]


def test_an_array_of_zarr_2_beside_it_is_never_looked_at(written: Path, tmp_path: Path) -> None:
    """Zarr 2 names filters in .zarray; one of numcodecs unpickles."""
    own = part.read_index(written, SCHEMA).digest
    ran = tmp_path / "ran"
    filters = [{"id": "pickle", "protocol": 5}]
    array = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "filters": filters, "compressor": None}
    array |= {"fill_value": None, "order": "C"}
    (written / "bytes" / ".zarray").write_text(json.dumps(array))
    (written / "bytes" / "0").write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % str(ran).encode())
    read_all(written, own)
    (written / "bytes" / METADATA).unlink()
    with pytest.raises(RecordError, match="no such file"):
        read_all(written, own)
    assert not ran.exists()


def index_of(names: Any, shapes: list[list[int]], **lists: list[Any]) -> dict[str, Any]:
    """The index of a part as one would forge it."""
    texts, numbers = ["0"] * len(shapes), [9] * len(shapes)
    index = {"names": names, "shapes": shapes, "digests": texts, "sources": texts, "failures": {}}
    return {**index, "sizes": numbers, "checksums": numbers, **lists}


@pytest.mark.parametrize("shape", [[10**12, 3, 1, 1], [2**62, 2**62, 1, 1], [-1, 3, 1, 1], [1, 2, 3]])
def test_shapes_that_its_file_cannot_hold_are_refused_before_anything_is_allocated(
    written: Path, shape: list[int]
) -> None:
    write_group(written, index_of(["a"], [shape]))
    with pytest.raises(RecordError, match=r"part-00000: it cannot be parsed"):
        part.read_index(written, SCHEMA)


@pytest.mark.parametrize("names", [["../up"], [".hidden"], [""], ["a/b"], [3], ["a", "a"], "ab", None])
def test_names_that_are_no_names_are_refused(written: Path, names: Any) -> None:
    count = len(names or ())
    write_group(written, index_of(names, [[0, 3, 0, 0]] * count))
    if names == "ab":
        assert part.read_index(written, SCHEMA).names == ("a", "b")
    else:
        with pytest.raises(RecordError, match="part-00000: it cannot be parsed"):
            part.read_index(written, SCHEMA)


def test_a_full_disk_keeps_the_former_part_and_is_an_input_error(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = part.read_index(written, SCHEMA)
    (written.parent / METADATA).touch()

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(part, "_write_array", full_disk)
    with pytest.raises(InputError, match=r"part-00000: cannot be written \(No space left on device\); free some space"):
        part.write_part(written, SCHEMA, {"b": packed(make_record(1))}, {})
    assert part.read_index(written, SCHEMA).digest == former.digest
    assert sorted(path.name for path in written.parent.iterdir()) == ["part-00000", METADATA]


def test_replacing_a_part_marks_its_split_as_incomplete(written: Path) -> None:
    (written.parent / METADATA).touch()
    part.write_part(written, SCHEMA, {"b": packed(make_record(1))}, {})
    assert not (written.parent / METADATA).exists()
    part.remove_part(written)
    part.remove_part(written)
    assert not written.exists()


def test_a_folder_with_other_files_is_no_part_to_delete(written: Path, tmp_path: Path) -> None:
    (written / "notes.txt").write_text("mine")
    for act in (part.remove_part, lambda path: part.write_part(path, SCHEMA, {}, {})):
        with pytest.raises(InputError, match=r"expected a part of a store, found notes.txt in it; move it away"):
            act(written)
    assert (written / "notes.txt").read_text() == "mine"
    link = tmp_path / "val" / "part-00001"
    link.symlink_to(written)
    with pytest.raises(InputError, match="found a file or a link"):
        part.remove_part(link)


def test_intact_records_are_what_a_damaged_part_still_holds(written: Path) -> None:
    found = part.read_intact(written, SCHEMA)
    assert found is not None
    assert found[1] == {name: packed(record) for name, record in RECORDS.items()}
    content = json.loads((written / METADATA).read_text())["attributes"]
    content["digests"][1] = "0"
    assert content["sizes"] == sorted(content["sizes"])
    del content["digest"]
    write_group(written, content)
    found = part.read_intact(written, SCHEMA)
    assert found is not None
    assert list(found[1]) == ["r0", "r2"]
    shard = written / part.CHUNK
    shard.write_bytes(shard.read_bytes()[:100])
    found = part.read_intact(written, SCHEMA)
    assert found is not None
    assert (found[0].names, list(found[1])) == (("r0", "r1", "r2"), ["r0"]), "the first is within 100 bytes"
    shard.write_bytes(shard.read_bytes()[:10])
    found = part.read_intact(written, SCHEMA)
    assert found is not None
    assert (found[0].names, found[1]) == (("r0", "r1", "r2"), {})
    shutil.rmtree(written)
    assert part.read_intact(written, SCHEMA) is None
