"""Forecasts over the lane map, to be judged at a glance: the focal agent drives up the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon

from perception.files import whole_file
from perception.geometry import SE2
from perception.metrics.forecasting import MISS_RADIUS_M
from perception.traffic.scenario import STEP_S, AgentKind
from perception_tools.forecasting.report.evaluation import Example
from perception_tools.forecasting.report.lane_map import draw_map
from perception_tools.report.theme import colour, figure_to_svg

PANEL_INCHES, TITLE_INCHES = (3.2, 3.9), 0.34
MARGIN_M, LEAST_WIDTH_M = 9.0, 34.0
SHOWN_HISTORY_STEPS = round(2.0 / STEP_S)
"""The view holds two seconds of the focal history (all of Argoverse 1's); more would shrink the future."""

LABELLED_MODES, LABEL_POINTS = 3, (32.0, 13.0)

SIZE_M: dict[int, tuple[float, float]] = {
    AgentKind.VEHICLE: (4.6, 1.9),
    AgentKind.BUS: (11.0, 2.8),
    AgentKind.MOTORCYCLIST: (2.2, 0.9),
    AgentKind.CYCLIST: (1.9, 0.7),
    AgentKind.RIDERLESS_BICYCLE: (1.9, 0.7),
    AgentKind.PEDESTRIAN: (0.9, 0.9),
}
"""Length and width that stand for a kind; neither data set's forecasting files hold sizes."""

UNKNOWN_SIZE_M = (2.8, 1.4)


def forecast_svg(example: Example, name: str) -> str:
    """One example as inline SVG that follows the page's colours; the name must be unique on the page."""
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height + TITLE_INCHES))
    axes = figure.add_axes((0, 0, 1, height / (height + TITLE_INCHES)))
    draw_forecast(axes, example)
    return figure_to_svg(figure, name)


def legend_svg() -> str:
    """One line that explains the pictures, as inline SVG."""
    figure = Figure(figsize=(11.6, 0.32))
    _draw_legend(figure)
    return figure_to_svg(figure, "legend")


def gallery(examples: Sequence[Example], path: Path) -> None:
    """Writes one row of forecasts with a legend as PNG, made to be shown 1200 pixels wide (three or four examples)."""
    count, gap, legend_inches = len(examples), 0.12, 0.4
    width, height = PANEL_INCHES
    total = (count * width + (count - 1) * gap, height + TITLE_INCHES + legend_inches)
    figure = Figure(figsize=total, facecolor="white")
    for i, example in enumerate(examples):
        left = i * (width + gap) / total[0]
        axes = figure.add_axes((left, legend_inches / total[1], width / total[0], height / total[1]))
        draw_forecast(axes, example)
    _draw_legend(figure)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=2400 / total[0])


def draw_forecast(axes: Axes, example: Example) -> None:
    """Draws one example into axes of any size: map, agents, what was forecast and what happened."""
    scenario, focal = example.scenario, example.scenario.focal
    tracks, present = scenario.agents, scenario.present
    picture_SE2_city = upright(tracks.position[focal, present], float(tracks.heading[focal, present]))
    row = int(np.flatnonzero(example.forecast.agents == focal)[0])
    modes = picture_SE2_city.apply(example.forecast.trajectories[row].astype(np.float64))
    probabilities = example.forecast.probabilities[row]
    shown = max(0, present + 1 - SHOWN_HISTORY_STEPS)
    path = picture_SE2_city.apply(tracks.position[focal])
    valid = tracks.valid[focal]
    past, truth = path[shown : present + 1][valid[shown : present + 1]], path[present:]

    points_per_m = _set_view(axes, np.concatenate([past, truth, modes.reshape(-1, 2)]))
    draw_map(axes, scenario.map, picture_SE2_city, points_per_m)
    _draw_other_agents(axes, example, picture_SE2_city)
    axes.plot(*past.T, color=colour("focal"), linewidth=2.0, solid_capstyle="round", zorder=4)
    axes.add_patch(
        Polygon(agent_box(np.zeros(2), np.pi / 2, int(tracks.kinds[focal])), color=colour("focal"), zorder=7)
    )
    _draw_truth(axes, truth)
    _draw_modes(axes, modes, probabilities, truth[-1])
    _draw_scale(axes)
    _write_title(axes, example)


def upright(position: Float[np.ndarray, " 2"], heading_rad: float) -> SE2:
    """`picture_SE2_city` that puts a position at the origin and lets its heading point up."""
    turn = SE2(0.0, 0.0, np.pi / 2 - heading_rad)
    x_m, y_m = -turn.apply(position)
    return SE2(float(x_m), float(y_m), turn.heading_rad)


def _draw_legend(figure: Figure) -> None:
    """What the lines and markers mean, along the bottom."""
    mode, truth, focal, agent, muted = (colour(name) for name in ("mode", "truth", "focal", "agent", "muted"))
    handles = [
        Line2D([], [], color=focal, linewidth=2, marker="s", markersize=6, label="focal agent"),
        Line2D([], [], color=truth, linewidth=1.8, linestyle=(0, (3, 1.6)), label="what happened"),
        Line2D([], [], color=truth, marker="o", markersize=11, mfc="none", linestyle="", label="2 m circle"),
        Line2D([], [], color=mode, linewidth=3, label="forecast (wider: more probable)"),
        Line2D([], [], color=mode, marker="o", markeredgecolor=focal, linestyle="", label="best endpoint"),
        Line2D([], [], color=agent, linewidth=1, marker="s", markersize=6, label="other agents"),
        Line2D([], [], color=muted, marker="s", markersize=6, mfc="none", linestyle="", label="ego vehicle"),
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        borderaxespad=0.1,
        labelcolor=colour("ink"),
    )


def _set_view(axes: Axes, points: Float[np.ndarray, "points 2"]) -> float:
    """Crops to the points with a margin, in the axes' own aspect; returns typographic points per metre."""
    box = axes.get_window_extent()
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = high - low + 2 * MARGIN_M
    width = max(width, height * box.width / box.height, LEAST_WIDTH_M)
    height = width * box.height / box.width
    x, y = (low + high) / 2
    axes.set_xlim(x - width / 2, x + width / 2)
    axes.set_ylim(y - height / 2, y + height / 2)
    axes.set_facecolor(colour("ground"))
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    return float(box.width / axes.figure.dpi * 72 / width)


def agent_box(centre: Float[np.ndarray, " 2"], heading_rad: float, kind: int) -> Float[np.ndarray, "4 2"]:
    """Corners of an agent of a kind."""
    length, width = SIZE_M.get(kind, UNKNOWN_SIZE_M)
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * np.array([length, width]) / 2
    return SE2(float(centre[0]), float(centre[1]), heading_rad).apply(corners)


def _draw_other_agents(axes: Axes, example: Example, picture_SE2_city: SE2) -> None:
    """Everyone who is seen now, with the way they came fading into the past."""
    tracks, present = example.scenario.agents, example.scenario.present
    for agent in np.flatnonzero(tracks.valid[:, present]):
        if agent == example.scenario.focal:
            continue
        seen = tracks.valid[agent, : present + 1]
        path = picture_SE2_city.apply(tracks.position[agent, : present + 1][seen])
        segments = np.stack([path[:-1], path[1:]], axis=1)
        fade = [to_rgba(colour("agent"), alpha) for alpha in np.linspace(0.0, 0.8, len(segments))]
        axes.add_collection(LineCollection(list(segments), colors=fade, linewidths=1.1, zorder=2), autolim=False)
        heading = float(tracks.heading[agent, present]) + picture_SE2_city.heading_rad
        box = agent_box(path[-1], heading, int(tracks.kinds[agent]))
        is_ego = agent == example.scenario.ego
        face = colour("road") if is_ego else colour("agent")
        axes.add_patch(Polygon(box, facecolor=face, edgecolor=colour("muted"), linewidth=1.0, zorder=3))


def _draw_truth(axes: Axes, truth: Float[np.ndarray, "steps 2"]) -> None:
    """The way that was really driven, and the circle that a hit must end in."""
    orange = colour("truth")
    axes.plot(*truth.T, color=orange, linewidth=1.8, linestyle=(0, (3, 1.6)), zorder=6)
    axes.add_patch(Circle(tuple(truth[-1]), MISS_RADIUS_M, facecolor=to_rgba(orange, 0.15), linewidth=0, zorder=1.5))
    axes.add_patch(Circle(tuple(truth[-1]), MISS_RADIUS_M, fill=False, edgecolor=orange, linewidth=1.0, zorder=6))
    axes.plot(*truth[-1], color=orange, marker="o", markersize=4, zorder=6)


def _draw_modes(
    axes: Axes,
    modes: Float[np.ndarray, "modes steps 2"],
    probabilities: Float[np.ndarray, " modes"],
    end: Float[np.ndarray, " 2"],
) -> None:
    """The candidate futures from the origin, the more probable the wider and the more opaque."""
    best = int(np.linalg.norm(modes[:, -1] - end, axis=-1).argmin())
    order = np.argsort(-probabilities, kind="stable")
    for mode in order:
        weight = float(probabilities[mode] / probabilities[order[0]])
        alpha, width, layer = 0.35 + 0.6 * weight, 1.0 + 2.4 * weight, 5 + 0.5 * weight
        path = np.concatenate([np.zeros((1, 2)), modes[mode]])
        axes.plot(*path.T, color=colour("mode"), alpha=alpha, linewidth=width, solid_capstyle="round", zorder=layer)
        edge, size = colour("focal" if mode == best else "road"), 3.5 + 2.5 * weight
        axes.plot(*path[-1], color=colour("mode"), marker="o", markersize=size, markeredgecolor=edge, zorder=8)
    _write_probabilities(axes, modes[order[:LABELLED_MODES], -1], probabilities[order[:LABELLED_MODES]], end)


def _write_probabilities(
    axes: Axes,
    ends: Float[np.ndarray, "labels 2"],
    probabilities: Float[np.ndarray, " labels"],
    truth_end: Float[np.ndarray, " 2"],
) -> None:
    """Plates beside the endpoints, on the side away from the truth; one that would cover an earlier one is left out."""
    plate = {"boxstyle": "round,pad=0.15", "facecolor": colour("road"), "edgecolor": "none", "alpha": 0.85}
    placed: list[np.ndarray] = []
    for at, probability in zip(ends, probabilities, strict=True):
        side = -1 if at[0] < truth_end[0] else 1
        shift = side * (LABEL_POINTS[0] / 2 + 6), 0
        centre = axes.transData.transform(at) * 72 / axes.figure.dpi + shift
        if any((np.abs(centre - other) < LABEL_POINTS).all() for other in placed):
            continue
        placed.append(centre)
        axes.annotate(
            f"{100 * probability:.0f} %",
            tuple(at),
            xytext=shift,
            textcoords="offset points",
            color=colour("mode"),
            fontsize=8,
            fontweight="bold",
            ha="center",
            va="center",
            bbox=plate,
            zorder=9,
        )


def _draw_scale(axes: Axes) -> None:
    """A bar of a round length, at most a third of the width, in the lower left corner."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width, height = right - left, top - bottom
    length = max(metres for metres in (5, 10, 20, 50, 100, 200, 500, 1000) if metres <= width / 3 or metres == 5)
    x, y = left + 0.05 * width, bottom + 0.04 * height
    axes.plot([x, x + length], [y, y], color=colour("ink"), linewidth=1.6, solid_capstyle="butt", zorder=9)
    axes.text(x + length / 2, y + 0.012 * height, f"{length} m", color=colour("ink"), fontsize=8, ha="center", zorder=9)


def _write_title(axes: Axes, example: Example) -> None:
    """Why it was chosen and what happened on the left, how good it is on the right."""
    label = example.label if example.label == example.manoeuvre else f"{example.label} · {example.manoeuvre}"
    verdict = "miss" if example.scores["miss_rate"] else "hit"
    right = f"minFDE {example.scores['min_fde']:.2f} m · {verdict}"
    axes.set_title(label, loc="left", fontsize=9.5, fontweight="bold", color=colour("ink"), pad=6)
    axes.set_title(right, loc="right", fontsize=9.5, color=colour("ink"), pad=6)
