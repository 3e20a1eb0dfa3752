from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_tools.forecasting.report.baseline_page import check_picture, write_differences
from perception_tools.forecasting.streaming.baseline import COLUMNS, read_baseline
from perception_tools.forecasting.streaming.baseline_comparison import Bounds, Comparison, compare_baselines

BOUNDS = Bounds(max_position_m=0.05, max_probability=0.01, max_refusals=0)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """From the twelfth tick on positions drift by 2 cm a tick."""
    then = read_baseline(Path(__file__).parents[1] / "streaming" / "golden_replay.json")
    objects = then.objects.copy()
    tick = np.repeat(np.arange(len(then.counts)), then.counts)
    objects[:, COLUMNS.index("x_3")] += 20 * np.maximum(0, tick - 11)
    return compare_baselines(then, replace(then, objects=objects, model="<other>"))


def test_a_page_says_what_differs_beside_a_chart(comparison: Comparison, tmp_path: Path) -> None:
    complaints = comparison.complaints(BOUNDS)
    write_differences(tmp_path / "new" / "a.html", comparison, BOUNDS, complaints)
    text = (tmp_path / "new" / "a.html").read_text()
    assert "positions differ by up to 0.24 m" in text
    assert "&lt;other&gt;" in text
    assert "<other>" not in text
    assert text.count("<svg") == 1
    assert "Largest difference of positions" in text


def test_a_replay_as_its_baseline_is_said_to_be_one(comparison: Comparison, tmp_path: Path) -> None:
    same = compare_baselines(comparison.then, comparison.then)
    write_differences(tmp_path / "a.html", same, BOUNDS, [])
    assert "All differences are within what is allowed." in (tmp_path / "a.html").read_text()


def test_a_png_is_drawn_for_a_ticket(comparison: Comparison, tmp_path: Path) -> None:
    write_differences(tmp_path / "a.png", comparison, BOUNDS, comparison.complaints(BOUNDS))
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_another_ending_is_refused() -> None:
    with pytest.raises(InputError, match=r"--differences a\.pdf: expected a name that ends in \.html or \.png"):
        check_picture(Path("a.pdf"))
