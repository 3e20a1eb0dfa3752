"""Published rows: Pang et al., ICLR 2024, Table 1."""

from __future__ import annotations

from perception_tools.image.published import PUBLISHED, SETS, TABLE_1


def test_every_row_has_all_sets_and_comes_once() -> None:
    assert len({row.method for row in PUBLISHED}) == len(PUBLISHED) == 6
    for row in PUBLISHED:
        assert row.top1.keys() == SETS.keys()
        assert row.source == TABLE_1
        assert row.top1["imagenet"] > row.top1["imagenet-c"] > row.top1["imagenet-sketch"]
        assert row.top1["imagenet-r"] > row.top1["imagenet-a"]


def test_the_block_gains_in_every_column_as_the_paper_says() -> None:
    rows = {row.method: row.top1 for row in PUBLISHED}
    gains = {}
    for size in ("T", "S", "B"):
        plain, block = rows[f"ViT-{size}"], rows[f"ViT-{size} + frozen LLaMA"]
        gains[size] = {name: round(block[name] - plain[name], 1) for name in SETS}
        assert all(gain > 0 for gain in gains[size].values())
    assert [gains[size]["imagenet"] for size in "TSB"] == [1.1, 0.6, 1.1]
    assert max(gains["B"].values()) == gains["B"]["imagenet-a"] == 3.5
