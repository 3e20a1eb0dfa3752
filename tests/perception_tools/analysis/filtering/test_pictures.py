from __future__ import annotations

from collections.abc import Callable

import numpy as np

from perception_tools.analysis.filtering.measure import measure
from perception_tools.analysis.filtering.pictures import colour_bar_svg, example_svg, heat_colours, heat_over
from perception_tools.analysis.filtering.views import TokenView, TokenViews


def test_a_record_is_drawn_once_and_then_at_every_stage_of_every_model(make_view: Callable[..., TokenView]) -> None:
    drawn: list[np.ndarray | None] = []
    draw = lambda _axes, values: drawn.append(values)  # noqa: E731
    pair = make_view(draw=draw), make_view(plain=True, draw=draw)
    found = measure(TokenViews("records", [pair]), ("x/llama", "x/plain"), 1)
    svg = example_svg(found.examples[0], found.names, "example0")
    assert drawn[0] is None
    shown = [values for values in drawn if values is not None]
    assert len(shown) == 7 + 3
    places = [values for model in found.examples[0].activations for values in model.values()]
    assert all(any(values is place for place in places) for values in shown)
    for text in ("target", "encoder", "project_out", "where it looks", "llama", "plain", "magnitude", "IoU 1.00 at"):
        assert f">{text}" in svg


def test_a_record_of_unknown_target_has_no_iou(make_view: Callable[..., TokenView]) -> None:
    found = measure(TokenViews("records", [(make_view(target=None, attention=None),)]), ("x/llama",), 1)
    svg = example_svg(found.examples[0], found.names, "example0")
    assert "IoU" not in svg
    assert "where it looks" not in svg
    assert ">target" not in svg


def test_a_brighter_patch_is_a_larger_activation() -> None:
    brightness = heat_colours(np.linspace(0, 1, 20)) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(brightness) > 0).all()


def test_heat_lies_on_its_patch_and_the_picture_stays_to_be_seen() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:, 3:] = 255
    heat = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    found = heat_over(picture, heat).astype(int).sum(-1)
    assert found.shape == (4, 6)
    assert found[0, 2] > found[2, 2]  # hot above cold, on black both
    assert found[2, 3] > found[2, 2]  # white beside black, both cold
    assert (found[:2, 0] == found[2:, 0]).all()


def test_the_bar_says_what_its_ends_mean() -> None:
    assert "most in the record" in colour_bar_svg()
