"""The page of an analysis of filtering: findings, heat maps, agreement by stage, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from markupsafe import Markup

from perception.analysis.filtering import Kind
from perception_tools.analysis.filtering.charts import stage_chart, sweep_chart
from perception_tools.analysis.filtering.measure import Measured
from perception_tools.analysis.filtering.pictures import STAGE_WORDS, colour_bar_svg, example_inches, example_svg
from perception_tools.report.page import Cell, Table, write_page

PIXELS_PER_INCH = 100
"""Width of a drawing on the page, where there is room."""


def write_filtering_page(path: Path, numbers: dict, found: Measured, rules: Sequence[str]) -> None:
    """Writes the page, self-contained, for light and dark screens.

    Args:
        path: Path of the page.
        numbers: What filtering.json holds.
        found: What was found; its examples are drawn.
        rules: What a reader must know of tokens and targets.
    """
    models = {numbers["name"]: numbers} | numbers["others"]
    measured = bool(found.ids)
    write_page(
        path,
        "perception_tools.analysis.filtering:filtering.html",
        title=f"What {', '.join(models)} single{'s' if len(models) == 1 else ''} out",
        numbers=numbers,
        findings=findings(numbers),
        bar=Markup(colour_bar_svg()),
        examples=[
            (
                example.views[0].id,
                Markup(example_svg(example, found.names, f"example{number}")),
                round(PIXELS_PER_INCH * example_inches(example)),
            )
            for number, example in enumerate(found.examples)
        ],
        miou=score_table(models, "miou") if measured else None,
        fixed=score_table(models, "fixed") if measured else None,
        claims=claim_table(numbers) if numbers["claims"] else None,
        stages=Markup(stage_chart(models)) if measured else None,
        sweep=Markup(sweep_chart(models)) if measured else None,
        rules=rules,
    )


def findings(numbers: dict) -> list[str]:
    """What came out, in sentences; first whether it is more than a place in the middle would give."""
    if not numbers["miou"]:
        return [
            f"{numbers['records']:,} {numbers['noun']} were looked at. None of them has a target, so nothing says "
            "whether what stands out is what matters."
        ]
    sentences = []
    for name, of in ({numbers["name"]: numbers} | numbers["others"]).items():
        places = [(v, stage, kind) for stage, kinds in of["miou"].items() for kind, v in kinds.items()]
        value, stage, kind = max(places)
        least, prior = max((b["miou"], prior) for prior, b in of["baselines"].items())
        relation = "above" if value > least else "not above"
        sentences.append(
            f"{name}: the best agreement is {value:.3f} mIoU ({STAGE_WORDS[stage]}, {kind}), {relation} the best of "
            f"what knows nothing of the {numbers['noun']} ({prior}: {least:.3f})."
        )
    return sentences


def score_table(models: Mapping[str, dict], which: str) -> Table:
    """Agreement of every stage and kind, a column a model.

    Args:
        models: Name of a model → its numbers.
        which: `miou` for the best threshold of each record, `fixed` for one threshold.
    """
    rows: list[tuple[str, list[Cell]]] = []
    kinds = get_args(Kind)
    known = {(stage, kind) for of in models.values() for stage, by_kind in of["miou"].items() for kind in by_kind}
    places = [(stage, kind) for stage in STAGE_WORDS for kind in kinds if (stage, kind) in known]
    best = {
        name: max(_value(of, which, stage, kind) for stage, kinds in of["miou"].items() for kind in kinds)
        for name, of in models.items()
    }
    for stage, kind in places:
        cells = []
        for name, of in models.items():
            if kind not in of["miou"].get(stage, {}):
                cells.append(Cell("–"))
                continue
            value, note = _value(of, which, stage, kind), _note(of, which, stage, kind)
            cells.append(Cell(f"{value:.3f}", note, value == best[name]))
        rows.append((f"{STAGE_WORDS[stage]}, {kind}", cells))
    for prior in next(iter(models.values()))["baselines"]:
        cells = []
        for of in models.values():
            baseline = of["baselines"][prior]
            baseline = baseline["fixed_threshold"] if which == "fixed" else baseline
            cells.append(Cell(f"{baseline['miou']:.3f}", _range(baseline["interval"])))
        rows.append((f"knows nothing: {prior}", cells))
    caption = (
        "Mean IoU at the best threshold of each record, which only the target tells (an oracle, as in the paper)"
        if which == "miou"
        else "Mean IoU at the one threshold that is best over all records"
    )
    caption += "; below, the 95 % bootstrap interval over records"
    return Table(which, caption, ("stage", *models), rows)


def claim_table(numbers: dict) -> Table:
    """Differences of mIoU over the same records."""
    rows = []
    for claim in numbers["claims"]:
        low, high = claim["interval"]
        verdict = "yes" if low > 0 else "no, the other way round" if high < 0 else "cannot be told"
        rows.append((claim["claim"], [Cell(f"{claim['difference']:+.3f}", _range(claim["interval"])), Cell(verdict)]))
    caption = (
        "Differences of mIoU on the same records. The kind of each pair is the better one on these records. Another "
        "training with another seed may differ by more than an interval over records says."
    )
    return Table("claims", caption, ("claim", "difference", "holds here"), rows)


def _value(of: dict, which: str, stage: str, kind: str) -> float:
    return of["miou"][stage][kind] if which == "miou" else of["fixed_threshold"][stage][kind]["miou"]


def _note(of: dict, which: str, stage: str, kind: str) -> str:
    if which == "miou":
        return _range(of["interval"][stage][kind])
    fixed = of["fixed_threshold"][stage][kind]
    return f"at {fixed['threshold']}: {_range(fixed['interval'])}"


def _range(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"
