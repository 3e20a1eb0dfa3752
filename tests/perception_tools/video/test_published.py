from __future__ import annotations

from perception_tools.video.published import PUBLISHED, TABLE_3


def test_the_papers_table_has_its_gains() -> None:
    rows = {row.method: row for row in PUBLISHED if row.source == TABLE_3}
    gains = [round(rows[f"{size} + frozen LLaMA"].top1 - rows[size].top1, 2) for size in ("ViT-S", "ViT-B")]
    assert gains == [1.18, 1.06]
    assert all(0 < row.top1 < row.top5 < 100 for row in PUBLISHED)
