"""Classifiers of point clouds over a split: one look at each cloud, and what is asked for beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro

from perception.errors import InputError
from perception.frozen.trained_state import fingerprints
from perception_datasets.clouds.open_clouds import open_clouds
from perception_datasets.clouds.records import Clouds
from perception_tools.classification.comparison import expect_same_classes, print_accuracies, side_by_side
from perception_tools.classification.predictions import Predictions
from perception_tools.classification.report import percent, write_classification_report
from perception_tools.classification.scores import ClassScores, Scores, score
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.points.model import BEST_FILE, TrainedClassifier, load_classifier
from perception_tools.points.prediction import predict, predict_by_vote, predict_shuffled
from perception_tools.points.published import PUBLISHED, SETS, TABLE_2
from perception_tools.records_file import RECORDS_FILE, RecordsWriter
from perception_tools.report.page import Cell, Table
from perception_tools.report.side_by_side import Contestant, group_seeds, names_apart

BEST_EPOCH = "best epoch"
VOTED = "voted"
SHUFFLED = "shuffled coordinates"


@dataclass
class Scored:
    """One model and its scores so far.

    Attributes:
        name: Heading of its column.
        run: Where it is from.
        trained: The model of the last epoch.
        scores: Name of a way to look at the clouds → scores.
        seconds: Time spent on the single pass, reading included.
    """

    name: str
    run: Path
    trained: TrainedClassifier
    scores: dict[str, ClassScores] = field(default_factory=dict)
    seconds: float = 0.0


def evaluate_classifiers(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "test",
    votes: int = 0,
    shuffle_coordinates: bool = False,
    limit: int | None = None,
    data_name: str | None = None,
    batch: int = 64,
    workers: int = 0,
    device: str = "cpu",
) -> dict:
    """Scores trained classifiers of point clouds: OUT/metrics.json, records.parquet and report.html.

    Numbers in metrics.json are shares from 0 to 1. At the top stand those of the first run's last epoch, by a single
    look at each cloud; the others' under `others`. `sets` holds what else was scored, each apart: the best epoch
    (`best epoch`, where its runs have one), votes (`voted`), and the control. `paired` compares the first run with each
    of the others (McNemar's exact test, and the difference with its interval), `systems` averages runs that differ in
    their seed alone and compares those.

    Args:
        runs: Run folders or model files; several are scored side by side on the same clouds.
        data: Folder or archive of the clouds.
        out: Folder for the files.
        split: Split to score.
        votes: Classify also by the mean logit of this many looks at each cloud, changed as in training; the paper's
            voted numbers have 10. 0 does not vote.
        shuffle_coordinates: Classify also clouds whose x, y and z are each shuffled over the points, which destroys
            their shape: a control that shows whether the model looks at it.
        limit: Score this many clouds only, taken evenly from the classes.
        data_name: What to call the data in the report.
        batch: Number of clouds in one call of the model.
        workers: Number of processes that read.
        device: Where models run: cpu, cuda.

    Raises:
        InputError: A model or the data cannot be used.
    """
    for name, number, least in (("batch", batch, 1), ("workers", workers, 0), ("votes", votes, 0)):
        if number < least:
            raise InputError(f"--{name} {number}: expected at least {least}; leave it out for the usual")
    keep_apart([out], [data])
    contestants, models = _load(runs, device)
    first = models[0].trained
    clouds = open_clouds(data, split, classes=first.classes, variant=first.recipe.variant, limit=limit)
    with RecordsWriter(out / RECORDS_FILE) as records:
        for model in models:
            _score(model, clouds, split, votes, shuffle_coordinates, device, {"batch": batch, "workers": workers})
            for group, found in model.scores.items():
                records.add(found.columns(model.name, group))
    systems = group_seeds(contestants, [model.name for model in models])
    groups = {
        group: side_by_side(_scores(models, group), systems)
        for group in models[0].scores
        if all(group in model.scores for model in models)
    }
    metrics = groups[split] | {
        "split": split,
        "data": data.resolve().name,
        "classes": len(first.classes),
        "votes": votes,
        "best_on": {model.name: model.trained.training.best_on for model in models},
        "blocks": {model.name: fingerprints(model.trained.model) for model in models},
        "clouds_per_second": {model.name: len(model.scores[split].ids) / model.seconds for model in models},
        "sets": {group: numbers for group, numbers in groups.items() if group != split},
    }
    write_json(out / "metrics.json", metrics)
    page = out / "report.html"
    title = data_name or f"{split} of {data.resolve().name}"
    published = published_table(groups[split], _set_of(first))
    write_classification_report(
        page, groups, noun="cloud", main=split, data_name=title, classes=len(first.classes), published=published
    )
    print_accuracies(groups, "cloud")
    print(f"{out / 'metrics.json'}\n{out / RECORDS_FILE}\n{page}")
    return metrics


def _load(runs: Sequence[Path], device: str) -> tuple[list[Contestant], list[Scored]]:
    """The models and what tells them apart.

    Raises:
        InputError: They have different classes or variants, so that they cannot be compared.
    """
    trained = [load_classifier(run) for run in runs]
    expect_same_classes(runs, [model.classes for model in trained])
    for run, model in zip(runs, trained, strict=True):
        if model.recipe.variant != trained[0].recipe.variant:
            raise InputError(
                f"{run}: expected a model of ScanObjectNN's variant {trained[0].recipe.variant}, got one of "
                f"{model.recipe.variant}; evaluate it by itself"
            )
        model.model.to(torch.device(device))
    contestants = [
        Contestant(model.name, model.recipe, run, (model.training.source, model.training.clouds))
        for run, model in zip(runs, trained, strict=True)
    ]
    names = names_apart(contestants)
    return contestants, [Scored(*of) for of in zip(names, runs, trained, strict=True)]


def _scores(models: Sequence[Scored], group: str) -> dict[str, Scores]:
    return {model.name: model.scores[group] for model in models}


def _score(
    model: Scored, clouds: Clouds, split: str, votes: int, shuffle: bool, device: str, loading: dict[str, int]
) -> None:
    """Every way to look at the clouds."""
    trained = model.trained

    def add(group: str, predictions: Predictions) -> None:
        model.scores[group] = score(predictions, trained.classes, noun="cloud")

    begin_s = time.perf_counter()
    add(split, predict(trained.model, clouds, title=model.name, **loading))
    model.seconds = time.perf_counter() - begin_s
    best = model.run / BEST_FILE
    if model.run.is_dir() and best.is_file():
        of_best = load_classifier(best).model.to(torch.device(device))
        add(BEST_EPOCH, predict(of_best, clouds, title=f"{model.name}, {BEST_EPOCH}", **loading))
    if votes:
        title, changes = f"{model.name}, {VOTED}", trained.recipe.augmentation
        add(VOTED, predict_by_vote(trained.model, clouds, changes, votes=votes, title=title, **loading))
    if shuffle:
        add(SHUFFLED, predict_shuffled(trained.model, clouds, title=f"{model.name}, {SHUFFLED}", **loading))


def _set_of(trained: TrainedClassifier) -> str | None:
    """The column of Table 2 that a model belongs to; None where there is none."""
    if trained.recipe.variant is not None:
        return trained.recipe.variant
    sizes = {1024: "1k", 4096: "4k", 8192: "8k"}
    return sizes.get(trained.recipe.points) if len(trained.classes) == 40 else None


def published_table(numbers: dict, column: str | None) -> Table | None:
    """The paper's rows beside ours; None for data that the paper does not have.

    Args:
        numbers: Of the single pass, from `side_by_side`.
        column: One of `SETS`.
    """
    if column is None:
        return None
    rows = [(row.method, [Cell(f"{row.top1[c]:.2f}" if c in row.top1 else "–") for c in SETS]) for row in PUBLISHED]
    for name, of in ({numbers["name"]: numbers} | numbers["others"]).items():
        cells = [Cell(percent(of["top1"]) if c == column else "–") for c in SETS]
        rows.append((f"{name}, last epoch, measured here", cells))
    caption = f"Top-1 accuracy, %, single pass. {TABLE_2}: of the epoch that was best on the test clouds"
    return Table("published", caption, ("model", *SETS.values()), rows)
