from __future__ import annotations

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perception_nodes.forecasting.ids import passing_id, texts_of, uuids_of


@given(st.lists(st.uuids(), max_size=5))
def test_uuids_are_themselves_as_text_and_back(uuids: list[UUID]) -> None:
    texts = tuple(str(uuid) for uuid in uuids)
    rows = uuids_of(texts)
    assert [bytes(row) for row in rows] == [uuid.bytes for uuid in uuids]
    assert texts_of(rows) == texts


@given(st.lists(st.text(max_size=20), unique=True, max_size=5))
def test_other_ids_become_different_uuids_the_same_every_time(names: list[str]) -> None:
    rows = uuids_of(names)
    np.testing.assert_array_equal(rows, uuids_of(names))
    assert len(np.unique(rows, axis=0)) == len(names)


def test_the_nil_uuid_is_no_id() -> None:
    assert texts_of(np.zeros((2, 16), np.uint8)) == ("", "")


def test_what_has_no_id_has_another_name_in_every_message_and_place() -> None:
    names = [passing_id(stamp, number) for stamp in (1, 2, 12) for number in (1, 2, 12)]
    assert len(set(names)) == 9
    assert names == [passing_id(stamp, number) for stamp in (1, 2, 12) for number in (1, 2, 12)]
    assert all(str(UUID(name)) == name for name in names)
