from __future__ import annotations

import json
from pathlib import Path

import pytest
import zarr

from perception.errors import InputError
from perception_datasets.stores.group import METADATA, load_attributes, read_group, write_group

CURE = "make it again"


def test_a_group_is_one_of_zarr_and_gives_its_attributes_back(tmp_path: Path) -> None:
    own = write_group(tmp_path / "group", {"a": [1, 2.5], "ä": None})
    assert read_group(tmp_path / "group", CURE) == ({"a": [1, 2.5], "ä": None}, own)
    assert dict(zarr.open_group(tmp_path / "group", mode="r").attrs)["ä"] is None
    assert own == write_group(tmp_path / "again", {"ä": None, "a": [1, 2.5]}), "the order of keys says nothing"


def test_a_folder_without_a_group_gives_none(tmp_path: Path) -> None:
    assert read_group(tmp_path, CURE) is None
    assert read_group(tmp_path / "missing", CURE) is None


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    attributes = {"names": ["a1", "b2"], "shapes": [[3, 4], [5, 6]]}
    write_group(tmp_path, attributes)
    path = tmp_path / METADATA
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            group = read_group(tmp_path, CURE)
        except InputError as error:
            said = str(error)
        else:
            said = ""
            assert group is not None
            assert group[0] == attributes, "a blank may change into another"
        assert not said or (str(path) in said and CURE in said)


@pytest.mark.parametrize("text", ["", "[", "[" * 20_000, "[]", '{"zarr_format": 2}', '{"attributes": []}', "\0"])
def test_what_is_no_group_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / METADATA).write_text(text)
    with pytest.raises(InputError, match=rf"{METADATA}: .*{CURE}"):
        load_attributes(tmp_path, CURE)


def test_attributes_that_are_no_object_are_refused(tmp_path: Path) -> None:
    (tmp_path / METADATA).write_text('{"zarr_format": 3, "node_type": "group", "attributes": [1]}')
    with pytest.raises(InputError, match=rf"{METADATA}: .*expected attributes by name, found list.*{CURE}"):
        load_attributes(tmp_path, CURE)


def test_attributes_without_a_digest_are_refused(tmp_path: Path) -> None:
    content = {"zarr_format": 3, "node_type": "group", "attributes": {"a": 1}}
    (tmp_path / METADATA).write_text(json.dumps(content))
    assert load_attributes(tmp_path, CURE) == {"a": 1}
    with pytest.raises(InputError, match=r"expected attributes with the digest .*, found None; make it again"):
        read_group(tmp_path, CURE)
