"""The report on classifiers."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.image.report.writer import corruption_table, published_table, write_image_report


@pytest.mark.parametrize("is_imagenet", [True, False])
def test_the_page_holds_every_part_and_escapes_names(
    is_imagenet: bool, plain: dict, corrupted: dict, tmp_path: Path
) -> None:
    groups, path = {"val": plain, "imagenet-c": corrupted}, tmp_path / "new" / "report.html"
    write_image_report(path, groups, main="val", data_name="pictures", classes=1000, is_imagenet=is_imagenet)
    html = path.read_text(encoding="utf-8")
    for text in ("ours &lt;1&gt; is right for 75.00", "12 pictures of 1,000 classes", "Means over seeds", "Under corr"):
        assert text in html, text
    assert "bad.png: it is &lt;broken&gt;" in html
    assert "<1>" not in html
    assert ("Published rows" in html) == is_imagenet
    assert "http" not in html.replace("http://www.w3.org", ""), "the page loads nothing"


def test_a_corrupted_set_can_be_what_the_page_is_about(corrupted: dict, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_image_report(path, {"c": corrupted}, main="c", data_name="c", classes=3, is_imagenet=False)
    html = path.read_text(encoding="utf-8")
    assert "(95\u00a0% interval over pictures 20.00 to 60.00)" in html
    assert "Picture by picture" not in html


def test_every_severity_has_a_column(corrupted: dict) -> None:
    table = corruption_table(corrupted, "imagenet-c")
    assert table.headings[-1] == "severity 5"
    assert [name for name, _ in table.rows][:2] == ["fog, ours <1>", "fog, theirs"]
    assert [cell.text for cell in table.rows[0][1]] == ["90.00", "80.00", "70.00", "60.00", "50.00"]


def test_ours_stand_below_the_published_rows_in_their_columns(plain: dict, corrupted: dict) -> None:
    table = published_table({"val": plain, "imagenet-c": corrupted})
    assert table.rows[0][0] == "ViT-T"
    rows = {name: [cell.text for cell in cells] for name, cells in table.rows}
    assert rows["ViT-S + frozen LLaMA"] == ["80.7", "58.7", "22.7", "30.5", "42.8"]
    assert rows["ours <1>, measured here"] == ["75.00", "50.00", "–", "–", "–"]
