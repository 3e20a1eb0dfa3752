from pathlib import Path

import numpy as np
import pytest

from perception_datasets.scannet.alignment import read_alignment


def test_the_alignment_is_read_among_the_other_lines(tmp_path: Path) -> None:
    numbers = "0.945519 0.325568 0.000000 -5.384390 -0.325568 0.945519 0.000000 -2.871780 "
    numbers += "0.000000 0.000000 1.000000 -0.064350 0.000000 0.000000 0.000000 1.000000"
    (tmp_path / "a.txt").write_text(f"appVersionId = 1\naxisAlignment = {numbers} \nnumDepthFrames = 5578\n")
    frame = read_alignment(tmp_path / "a.txt")
    np.testing.assert_allclose(frame.apply(np.zeros(3)), [-5.38439, -2.87178, -0.06435])
    np.testing.assert_allclose(frame.rotation[0], [0.945519, 0.325568, 0])


def test_a_scan_without_an_alignment_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("numDepthFrames = 5578\n")
    np.testing.assert_array_equal(read_alignment(tmp_path / "a.txt").matrix, np.eye(4))


@pytest.mark.parametrize(("value", "message"), [("1 0 0", "found 3"), ("0 " * 16, "expected a rigid transform")])
def test_a_broken_alignment_is_refused(tmp_path: Path, value: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(f"axisAlignment = {value}\n")
    with pytest.raises(ValueError, match=message):
        read_alignment(tmp_path / "a.txt")


@pytest.mark.parametrize("text", ["", "numDepthFrames: 5578\n", "\x00\x00"])
def test_a_file_without_any_value_is_not_taken_for_a_scan_that_is_aligned(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match="expected lines such as axisAlignment = 1 0 0 0 …, found none"):
        read_alignment(tmp_path / "a.txt")
