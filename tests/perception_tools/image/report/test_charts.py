"""Charts of accuracies under corruptions."""

from __future__ import annotations

import re

from perception_tools.image.report.charts import corruption_chart


def test_every_corruption_and_model_is_drawn_in_the_themes_colours(corrupted: dict) -> None:
    svg = corruption_chart(corrupted, "c")
    for text in ("fog", "motion blur", "ours &lt;1&gt;", "theirs"):
        assert f">{text}<" in svg
    assert svg.count("<svg") == 1
    assert len(set(re.findall(r"var\(--line\d\)", svg))) == 2


def test_more_corruptions_than_a_row_holds_are_drawn(corrupted: dict) -> None:
    for of in (corrupted, corrupted["others"]["theirs"]):
        of["corruptions"] = {f"kind{number}": [0.5] * 5 for number in range(7)}
    svg = corruption_chart(corrupted, "c")
    assert all(f">kind{number}<" in svg for number in range(7))
