"""The paper's table 5a."""

from __future__ import annotations

from perception_tools.image_text.published import RECALL, VQA, VQA_COLUMNS


def test_every_row_has_all_columns_and_the_block_helps_in_each() -> None:
    assert all(len(row) == len(VQA_COLUMNS) for row in VQA.values())
    for rows in (VQA, RECALL):
        without, with_block = rows.values()
        assert all(low < high for low, high in zip(without, with_block, strict=True))
