"""Models that recognise actions over a split, each clip in several views."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import torch
import tyro

from perception.errors import InputError
from perception.frozen.trained_state import fingerprints
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_datasets.video.open_videos import open_videos
from perception_datasets.video.records import Videos
from perception_tools.classification.comparison import expect_same_classes, print_accuracies, side_by_side
from perception_tools.classification.records import labelled
from perception_tools.classification.scores import ClassScores, Scores, score
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, RecordsWriter
from perception_tools.report.side_by_side import Contestant, group_seeds, names_apart
from perception_tools.video.model import TrainedRecognizer, load_recognizer
from perception_tools.video.prediction import Views, predict
from perception_tools.video.recipes import Order
from perception_tools.video.reconstruction import evaluate_autoencoder
from perception_tools.video.report.writer import write_action_report


def evaluate_recognizers(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "val",
    labels: str | None = None,
    where: str | None = None,
    temporal_views: int = 2,
    spatial_views: int = 3,
    order: Order | None = None,
    limit: int | None = None,
    data_name: str | None = None,
    batch: int = 4,
    workers: int = 0,
    device: str = "cpu",
) -> dict:
    """Scores trained models that recognise actions: OUT/metrics.json, records.parquet and report.html.

    Numbers in metrics.json are shares from 0 to 1. The first run's stand at the top, the others' under `others`;
    `paired` compares the first with each of the others (McNemar's exact test, and the difference with its interval),
    `systems` averages runs that differ in their seed alone and compares those. records.parquet has a row for every clip
    and run. A run of pre-training gets its `loss` in metrics.json, and a picture of what it gives for hidden parts.

    Args:
        runs: Run folders or model files; several are scored side by side on the same clips.
        data: Folder of the videos.
        out: Folder for the files.
        split: Split to score.
        labels: Which of several sets of labels; as in the first run's training by default.
        where: Score some videos only, COLUMN=VALUE of the table SPLIT.csv; '' for all, as in training by default.
        temporal_views: Number of views of a clip in time.
        spatial_views: Number of squares along the longer side of its images.
        order: Order of the images: as in training by default; shuffled, reversed or still as a control.
        limit: Score this many clips only, taken evenly from the classes.
        data_name: What to call the data in the report.
        batch: Number of clips in one call of the model, each in all of its views.
        workers: Number of processes that decode.
        device: Where models run: cpu, cuda.

    Raises:
        InputError: A model or the data cannot be used.
    """
    for name, number, least in (("batch", batch, 1), ("workers", workers, 0)):
        if number < least:
            raise InputError(f"--{name} {number}: expected at least {least}; leave it out for the usual")
    views = Views(temporal_views, spatial_views, order or "kept")
    keep_apart([out], [data])
    trained = [load_recognizer(run) for run in runs]
    expect_same_classes(runs, [model.classes for model in trained])
    first = trained[0]
    if any(isinstance(model.model, MaskedAutoencoder) for model in trained):
        return evaluate_autoencoder(first, data, out, split, limit, batch)
    classes, named = first.classes, {"labels": first.training.labels, "where": first.training.where}
    named |= {name: value for name, value in (("labels", labels), ("where", where)) if value is not None}
    videos = labelled(open_videos(data, split, classes=classes, limit=limit, **named), split, "video")
    contestants = [
        Contestant(model.name, model.recipe, run, (model.training.source, model.training.labels, model.training.where))
        for run, model in zip(runs, trained, strict=True)
    ]
    names = names_apart(contestants)
    scores: dict[str, Scores] = {}
    speeds: dict[str, float] = {}
    with RecordsWriter(out / RECORDS_FILE) as records:
        for name, model in zip(names, trained, strict=True):
            begin_s = time.perf_counter()
            asked = views if order else Views(temporal_views, spatial_views, model.recipe.order)
            found = _scores_of(model, videos, asked, batch, workers, device, name)
            speeds[name] = len(found.ids) / (time.perf_counter() - begin_s)
            scores[name] = found
            records.add(found.columns(name, split))
    groups = {split: side_by_side(scores, group_seeds(contestants, names))}
    metrics = groups[split] | {
        "split": split,
        "data": data.resolve().name,
        **named,
        "views": [temporal_views, spatial_views],
        "order": order or first.recipe.order,
        "classes": len(classes),
        "blocks": {name: fingerprints(model.model) for name, model in zip(names, trained, strict=True)},
        "clips_per_second": speeds,
    }
    write_json(out / "metrics.json", metrics)
    page = out / "report.html"
    write_action_report(
        page,
        groups,
        main=split,
        data_name=data_name or f"{split} of {data.resolve().name}",
        classes=len(classes),
        views=f"{temporal_views} view(s) in time, each in {spatial_views} square(s) along the longer side",
        order=metrics["order"],
    )
    print_accuracies(groups, "clip")
    print(f"{out / 'metrics.json'}\n{out / RECORDS_FILE}\n{page}")
    return metrics


def _scores_of(
    model: TrainedRecognizer, videos: Videos, views: Views, batch: int, workers: int, device: str, name: str
) -> ClassScores:
    found = predict(
        model.recognizer.to(torch.device(device)),
        videos,
        views=views,
        shorter_side=model.recipe.shorter_side,
        batch=batch,
        workers=workers,
        title=name,
    )
    return score(found, model.classes, noun="clip")
