from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Circle

from perception.traffic.scenario import Forecast
from perception_tools.forecasting.report.evaluation import choose_examples
from perception_tools.forecasting.report.pictures import draw_forecast, forecast_svg, gallery, upright

numbers = st.floats(-5e3, 5e3)


@pytest.fixture(scope="module")
def example(scored):
    table, forecasts = scored
    return choose_examples(table, forecasts.__getitem__)[2]


def drawn(example) -> Figure:
    figure = Figure(figsize=(3, 4))
    draw_forecast(figure.add_axes((0, 0, 1, 0.9)), example)
    return figure


def with_modes(example, modes: np.ndarray, probabilities: np.ndarray):
    """The example with another forecast of its focal agent."""
    return replace(example, forecast=Forecast(np.array([example.scenario.focal]), modes[None], probabilities[None]))


@given(x=numbers, y=numbers, heading=st.floats(-np.pi, np.pi))
@settings(max_examples=25, deadline=None)
def test_the_focal_agent_is_at_the_origin_and_drives_up(x, y, heading):
    here = np.array([x, y])
    ahead = here + np.array([np.cos(heading), np.sin(heading)])
    picture_SE2_city = upright(here, heading)
    np.testing.assert_allclose(picture_SE2_city.apply(np.stack([here, ahead])), [[0, 0], [0, 1]], atol=1e-9)


@given(scale=st.floats(0.1, 300.0), seed=st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_truth_and_every_mode_are_inside_the_view_and_metres_are_square(example, scale, seed):
    modes = example.forecast.trajectories[0] + np.random.default_rng(seed).normal(scale=scale, size=(3, 1, 2))
    figure = drawn(with_modes(example, modes, np.full(3, 1 / 3)))
    (axes,) = figure.axes
    scenario, focal = example.scenario, example.scenario.focal
    tracks, present = scenario.agents, scenario.present
    frame = upright(tracks.position[focal, present], float(tracks.heading[focal, present]))
    points = frame.apply(np.concatenate([modes.reshape(-1, 2), tracks.position[focal, present:]]))
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert (points > [left, bottom]).all()
    assert (points < [right, top]).all()
    box = axes.get_window_extent()
    assert (right - left) / (top - bottom) == pytest.approx(box.width / box.height)


def test_the_title_names_label_manoeuvre_error_and_verdict(example):
    svg = forecast_svg(example, "one")
    assert f"worst · {example.manoeuvre}" in svg
    assert f"minFDE {example.scores['min_fde']:.2f} m · miss" in svg


def test_the_most_probable_modes_are_labelled(example):
    assert "70 %" in forecast_svg(example, "one")


def test_labels_of_modes_that_end_together_do_not_cover_each_other(example):
    same = np.repeat(example.forecast.trajectories[0][:1], 3, axis=0)
    svg = forecast_svg(with_modes(example, same, np.array([0.5, 0.3, 0.2])), "one")
    assert svg.count(" %</text>") == 1


def test_more_probable_modes_are_drawn_wider_and_more_opaque(example):
    (axes,) = drawn(example).axes
    lines = [line for line in axes.lines if line.get_solid_capstyle() == "round" and line.get_alpha() is not None]
    probabilities = np.sort(example.forecast.probabilities[0])[::-1]
    assert len(lines) == len(probabilities)
    for attribute in ("get_linewidth", "get_alpha"):
        values = [getattr(line, attribute)() for line in lines]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == len(values)


def test_the_miss_circle_has_a_radius_of_two_metres_about_the_true_endpoint(example):
    (axes,) = drawn(example).axes
    assert {patch.radius for patch in axes.patches if isinstance(patch, Circle)} == {2.0}


def test_a_gallery_is_one_png_of_2400_pixels_and_leaves_nothing_else(example, tmp_path):
    gallery([example, example], tmp_path / "hero.png")
    assert [path.name for path in tmp_path.iterdir()] == ["hero.png"]
    assert imread(tmp_path / "hero.png").shape[1] == 2400
