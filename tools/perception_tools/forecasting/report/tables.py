"""The tables of a report, as rows of text: one shape, so that the template needs one macro."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perception.metrics.circumstances import DISTANCES, HISTORIES
from perception.metrics.manoeuvre import MANOEUVRES
from perception.metrics.paired import PairedDifference
from perception_tools.forecasting.comparison import Comparison
from perception_tools.forecasting.published import PUBLISHED
from perception_tools.forecasting.report.evaluation import Evaluation
from perception_tools.report.page import Cell, Table

COLUMNS = {
    "min_ade_endpoint": "minADE, endpoint",
    "min_ade": "minADE, minimum",
    "min_fde": "minFDE",
    "miss_rate": "miss rate",
    "brier_min_fde": "brier-minFDE",
    "p_min_ade": "p-minADE",
    "p_min_fde": "p-minFDE",
}
"""Name in `metrics.json` → heading. Metres but for the miss rate, a share."""

WORLD_COLUMNS = {
    "avg_min_ade": "avgMinADE",
    "avg_min_ade_endpoint": "avgMinADE of the best end",
    "avg_min_fde": "avgMinFDE",
    "actor_miss_rate": "actor miss rate",
    "avg_brier_min_fde": "avgBrierMinFDE",
    "collision_rate": "collisions",
}
"""Name under `worlds` in `metrics.json` → heading."""

HEADLINE = {name: COLUMNS[name] for name in ("min_ade_endpoint", "min_fde", "miss_rate")}


def score_tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """Every metric of every model: focal agent, then all scored agents, K = 6 and K = 1."""
    tables = []
    for k in ("k6", "k1"):
        rows = [e.metrics[k] for e in evaluations]
        intervals = [e.metrics["interval"][k] for e in evaluations]
        caption = f"Focal agent, K = {k[1]}; below each mean its 95 % bootstrap interval over scenes"
        tables.append(_score_table(f"focal-{k}", caption, evaluations, rows, intervals))
    for k in ("k6", "k1"):
        rows = [e.metrics[k]["all_agents"] for e in evaluations]
        tables.append(_score_table(f"all-{k}", f"All scored agents, K = {k[1]}", evaluations, rows, None))
    return tables


def paired_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """Differences of every two systems in every metric, on the same agents."""
    tables = []
    for of, whose in (("focal", "focal agents"), ("all_agents", "all scored agents")):
        for k in ("k6", "k1"):
            rows = []
            for comparison in comparisons:
                found = getattr(comparison, of)[k]
                cells = [_difference(found[name]) for name in COLUMNS]
                rows.append((f"{comparison.first} less {comparison.second}", cells))
            caption = f"Differences, {whose}, K = {k[1]}; below each its 95 % interval, bold where that excludes zero"
            tables.append(Table(f"paired-{of}-{k}", caption, ("first less second", *COLUMNS.values()), rows))
    return tables if comparisons else []


def _difference(found: PairedDifference) -> Cell:
    return Cell(f"{found.difference:+.3f}", f"[{found.low:+.3f}, {found.high:+.3f}]", found.told_apart)


def group_tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """K = 6 minFDE and miss rate of every model by what the focal agent did, and by what the agents are."""
    kinds = dict.fromkeys(name for e in evaluations for name in e.metrics["by_kind"])
    return [
        _group_table("by_manoeuvre", "Focal agents by manoeuvre, K = 6", evaluations, MANOEUVRES),
        _group_table("by_kind", "All scored agents by kind, K = 6", evaluations, kinds),
        _group_table("by_distance", "All scored agents by distance from the ego, K = 6", evaluations, DISTANCES),
        _group_table("by_history", "All scored agents by length of their history, K = 6", evaluations, HISTORIES),
        world_table(evaluations),
    ]


def world_table(evaluations: Sequence[Evaluation]) -> Table:
    """All scored agents of a scenario together, and whether probabilities mean what they say."""
    rows = []
    for e in evaluations:
        numbers = [e.metrics["worlds"][name] for name in WORLD_COLUMNS]
        numbers.append(e.metrics["calibration"]["expected_calibration_error"])
        rows.append((e.name, [Cell(_number(value)) for value in numbers]))
    caption = "Joint forecasts: the best of six worlds, all scored agents; calibration of their modes' probabilities"
    return Table("worlds", caption, ("model", *WORLD_COLUMNS.values(), "calibration error"), rows)


def published_table(data_name: str) -> Table:
    """Numbers of others, each with its data; those on the same scenes come first, the others are no comparison."""
    rows = []
    for row in sorted(PUBLISHED, key=lambda row: row.data != data_name):
        verdict = "same scenes as this report" if row.data == data_name else "not comparable: other data"
        numbers = (row.min_ade_endpoint, row.min_ade, row.min_fde, row.miss_rate, row.brier_min_fde)
        texts = [Cell(row.data, verdict), Cell(row.source, row.rule), Cell(str(row.k))]
        rows.append((row.method, [*texts, *(Cell(_number(value)) for value in numbers)]))
    headings = ("method", "data", "source and rule", "K", *list(COLUMNS.values())[:5])
    return Table("published", "Published and measured elsewhere, focal agent", headings, rows)


def cost_table(evaluations: Sequence[Evaluation]) -> Table:
    """What each model costs and which block it ran."""
    rows = []
    for e in evaluations:
        block = Cell(e.block.words, f"{e.block.source}, {e.block.fingerprint}") if e.block else Cell("none")
        trainable, frozen = (Cell(f"{count:,}") for count in e.parameters)
        rows.append((e.name, [trainable, frozen, Cell(_milliseconds(e)), Cell(e.view), block]))
    headings = ("model", "trainable parameters", "frozen parameters", "ms a scene", "view", "frozen block")
    return Table("cost", "Cost and provenance", headings, rows)


def view_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """Accuracy beside cost where models of different views were evaluated; None where all share one."""
    models = [e for e in evaluations if e.trained]
    if len({e.view for e in models}) < 2:
        return None
    rows = []
    for e in sorted(models, key=lambda e: e.view):
        numbers = [Cell(_number(e.metrics["k6"][name])) for name in HEADLINE]
        rows.append((e.view, [Cell(e.name), *numbers, Cell(_milliseconds(e))]))
    headings = ("view", "model", *HEADLINE.values(), "ms a scene")
    return Table("views", "From where polylines are seen, K = 6", headings, rows)


def count_table(evaluations: Sequence[Evaluation]) -> Table:
    """How many scenes and agents the numbers are over, and how many could not be scored."""
    keys = ("scenarios", "agents", "incomplete", "incomplete_focal")
    rows = [(e.name, [Cell(f"{e.metrics[key]:,}") for key in keys]) for e in evaluations]
    headings = ("model", "scenarios", "scored agents", "not scored: incomplete future", "of these focal")
    return Table("counts", "What was scored", headings, rows)


def _score_table(
    table_id: str, caption: str, evaluations: Sequence[Evaluation], rows: list[dict], intervals: list[dict] | None
) -> Table:
    """One row a model; the lowest of a column is marked where there is something to compare."""
    lowest = {name: min(row[name] for row in rows) if len(rows) > 1 else None for name in COLUMNS}
    body = []
    for i, evaluation in enumerate(evaluations):
        cells = [Cell(str(evaluation.recipe.get("seed", "–")))]
        for name in COLUMNS:
            note = "[{:.3f}, {:.3f}]".format(*intervals[i][name]) if intervals else ""
            cells.append(Cell(_number(rows[i][name]), note, rows[i][name] == lowest[name]))
        body.append((evaluation.name, cells))
    return Table(table_id, caption, ("model", "seed", *COLUMNS.values()), body)


def _group_table(key: str, caption: str, evaluations: Sequence[Evaluation], names: Iterable[str]) -> Table:
    """One row a group that some model was scored on."""
    rows = []
    for name in names:
        groups = [e.metrics[key].get(name) for e in evaluations]
        counts = [group["agents"] for group in groups if group]
        if counts:
            pairs = [[group["k6"]["min_fde"], group["k6"]["miss_rate"]] if group else [None, None] for group in groups]
            cells = [Cell(_number(value)) for pair in pairs for value in pair]
            rows.append((name.replace("_", " "), [Cell(f"{max(counts):,}"), *cells]))
    headings = [f"{e.name}: {COLUMNS[metric]}" for e in evaluations for metric in ("min_fde", "miss_rate")]
    return Table(key, caption, (key[3:], "agents", *headings), rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _milliseconds(evaluation: Evaluation) -> str:
    seconds = evaluation.seconds_per_scene
    return "–" if seconds is None else f"{1000 * seconds:.1f}"
