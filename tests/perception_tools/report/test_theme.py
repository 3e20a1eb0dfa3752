from __future__ import annotations

import re

import pytest
from matplotlib.figure import Figure

from perception_tools.report.theme import COLOURS, colour, css_variables, figure_to_svg


def figure() -> Figure:
    plot = Figure(figsize=(2, 2))
    axes = plot.add_axes((0, 0, 1, 1))
    axes.plot([0, 1, 2], [0, 2, 1], color=colour("mode"), marker="o")
    axes.text(1, 1, "words stay words, 0.0125 stays 0.0125")
    return plot


def test_no_two_names_share_a_light_colour():
    lights = [light for light, _ in COLOURS.values()]
    assert len(set(lights)) == len(lights)
    assert all(re.fullmatch(r"#[0-9a-f]{6}", value) for pair in COLOURS.values() for value in pair)


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_is_a_css_variable(dark):
    css = css_variables(dark)
    for name, pair in COLOURS.items():
        assert f"--{name}: {pair[int(dark)]};" in css


def test_a_figure_follows_the_page_and_keeps_its_text():
    svg = figure_to_svg(figure(), "one")
    assert svg.startswith("<svg")
    assert "var(--mode)" in svg
    assert colour("mode") not in svg
    assert "words stay words, 0.0125 stays 0.0125" in svg


def test_ids_are_unique_within_a_figure_and_between_figures():
    ids = [re.findall(r'id="([^"]+)"', figure_to_svg(figure(), name)) for name in ("one", "two")]
    assert ids[0]
    assert len(set(ids[0] + ids[1])) == len(ids[0]) + len(ids[1])


def test_every_reference_inside_a_figure_has_its_target():
    svg = figure_to_svg(figure(), "one")
    wanted = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    assert wanted
    assert wanted <= set(re.findall(r'id="([^"]+)"', svg))


def test_the_same_figure_gives_the_same_text_twice():
    assert figure_to_svg(figure(), "one") == figure_to_svg(figure(), "one")
