"""An analysis of filtering from runs to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perception.errors import InputError
from perception.frozen.trained_state import fingerprints
from perception_tools.analysis.filtering.measure import (
    Measured,
    claims_json,
    filtering_json,
    measure,
    threshold_of_best,
)
from perception_tools.analysis.filtering.report import write_filtering_page
from perception_tools.analysis.filtering.views import Asked, TokenViews
from perception_tools.devices import find_device
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, write_records
from perception_tools.references import resolve
from perception_tools.report.side_by_side import Contestant, names_apart
from perception_tools.tasks import Task

MEASURES = "filtering.json"


def analyse_filtering(
    task: Task, runs: Sequence[Path], asked: Asked, out: Path, *, pictures: int = 6, device: str = "cpu"
) -> dict:
    """Looks at the records of a split with models of one task, and writes what was found.

    Args:
        task: The task; it has `token_views`.
        runs: Run folders or model files.
        asked: What is looked at.
        out: Folder for the files.
        pictures: Number of records that are drawn.
        device: Where models run.

    Returns:
        What filtering.json holds: the first run's numbers at the top, the others' under `others`.

    Raises:
        InputError: A model or the data cannot be used, or there is no record to look at.
    """
    assert task.token_views is not None, "the command checks it"
    if pictures < 0:
        raise InputError(f"--pictures {pictures}: expected 0 or more; give the number of records to draw")
    inputs = [asked.data] if asked.masks is None else [asked.data, asked.masks]
    keep_apart([out], inputs)
    trained = [task.load_model(run) for run in runs]
    for one in trained:
        one.model.to(find_device(device))
    names = names_apart([Contestant(of.name, of.recipe, run, None) for of, run in zip(trained, runs, strict=True)])
    views: TokenViews = resolve(task.token_views)(trained, asked)
    found = measure(views, names, pictures)
    if not found.records:
        raise InputError(f"{asked.data}: expected {views.noun} to look at, found none\n{_reasons(views)}")
    by_name = {name: filtering_json(found, model) for model, name in enumerate(names)}
    first, *others = by_name
    numbers = by_name[first] | {
        "name": first,
        "others": {name: by_name[name] for name in others},
        "claims": claims_json(found),
        "noun": views.noun,
        "records": found.records,
        views.noun: len(found.ids) or found.records,
        "left_out": dict(views.left_out),
        "failures": dict(views.failures.reasons),
        "data": asked.data.resolve().name,
        "masks": None if asked.masks is None else asked.masks.resolve().name,
        "split": asked.split,
        "inside": asked.inside,
        "rules": list(views.rules),
        "blocks": {name: fingerprints(one.model) for name, one in zip(names, trained, strict=True)},
    }
    write_json(out / MEASURES, numbers)
    if found.ids:
        write_records(out / RECORDS_FILE, _records(found))
    page = out / "filtering.html"
    write_filtering_page(page, numbers, found, views.rules)
    _print_table(numbers, views)
    print(f"{out / MEASURES}\n{page}")
    return numbers


def _records(found: Measured) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for model, name in enumerate(found.names):
        for (stage, kind), ious in found.ious[model].items():
            for id, of in zip(found.ids, ious, strict=True):
                best, threshold = threshold_of_best(of)
                rows.append({"id": id, "run": name, "stage": stage, "kind": kind, "iou": best, "threshold": threshold})
    return rows


def _print_table(numbers: dict, views: TokenViews) -> None:
    """Agreement of every stage and kind of every run, and of what knows nothing of the record."""
    for name, of in ({numbers["name"]: numbers} | numbers["others"]).items():
        print(f"\n{name}: mIoU at each record's best threshold; at one threshold for all")
        for stage, kinds in of["miou"].items():
            for kind, value in kinds.items():
                low, high = of["interval"][stage][kind]
                fixed = of["fixed_threshold"][stage][kind]
                print(f"  {stage:<13} {kind:<10} {value:.3f} [{low:.3f}, {high:.3f}]   {fixed['miou']:.3f}")
        for prior, value in of["baselines"].items():
            print(
                f"  {'knows nothing:':<13} {prior:<9} {value['miou']:.3f}   {value['fixed_threshold']['miou']:>21.3f}"
            )
    counted = f"{numbers[views.noun]:,} {views.noun}" + ("" if numbers["miou"] else ", none of which has a target")
    print(f"\n{counted}{''.join(f'; {count:,} not measured: {why}' for why, count in views.left_out.items())}")
    if len(views.failures):
        print(views.failures.report(numbers["records"] + len(views.failures), views.noun))


def _reasons(views: TokenViews) -> str:
    reasons = [f"{count:,} not looked at: {why}" for why, count in views.left_out.items()]
    if len(views.failures):
        reasons.append(views.failures.report(len(views.failures), views.noun))
    return "\n".join(reasons)
