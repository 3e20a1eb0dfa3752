"""Classifiers of pictures over a split and over the sets that test robustness, each by its own rule."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, get_args

import torch
import tyro

from perception.errors import InputError, first_of
from perception.frozen.trained_state import fingerprints
from perception_datasets.images.class_lists import read_class_list
from perception_datasets.images.records import PictureSource
from perception_tools.classification.comparison import expect_same_classes, print_accuracies, side_by_side
from perception_tools.classification.scores import ClassScores, Scores, score
from perception_tools.image.corruption_scores import CorruptionScores
from perception_tools.image.model import TrainedClassifier, load_classifier
from perception_tools.image.prediction import predict
from perception_tools.image.report.writer import write_image_report
from perception_tools.image.sets import EvaluationSet, Suite, open_split, open_suite
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, RecordsWriter
from perception_tools.report.side_by_side import Contestant, group_seeds, names_apart


@dataclass
class Scored:
    """One model and its scores so far.

    Attributes:
        name: Heading of its column.
        trained: The model.
        scores: Name of a set or suite → scores.
        seconds: Time spent, decoding included.
        pictures: Number of pictures that were classified.
        main: Scores on the first set, and its pictures; None where that is one of many under corruptions.
    """

    name: str
    trained: TrainedClassifier
    scores: dict[str, Scores] = field(default_factory=dict)
    seconds: float = 0.0
    pictures: int = 0
    main: tuple[ClassScores, PictureSource] | None = None

    def add(self, group: str, of: EvaluationSet, found: ClassScores) -> None:
        """Adds the scores of a set of a group: ImageNet-C's many sets are one."""
        if not of.corruption:
            self.main = self.main if self.scores else (found, of.source)
            self.scores[group] = found
            return
        scores = self.scores.setdefault(group, CorruptionScores())
        assert isinstance(scores, CorruptionScores)
        scores.add(of, found)


def evaluate_classifiers(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "val",
    suite: Suite | None = None,
    also: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SUITE=DIR")] = (),
    extra_corruptions: bool = False,
    limit: int | None = None,
    data_name: str | None = None,
    batch: int = 64,
    workers: int = 0,
    device: str = "cpu",
) -> dict:
    """Scores trained classifiers: OUT/metrics.json, records.parquet and report.html.

    Numbers in metrics.json are shares from 0 to 1, but mCE, which is in per cent. The first run's stand at the top, the
    others' under `others`; `paired` compares the first with each of the others (McNemar's exact test, and the
    difference with its interval), `systems` averages runs that differ in their seed alone and compares those. The sets
    of --also stand under `sets`. records.parquet has a row for every picture, set and run.

    Args:
        runs: Run folders or model files; several are scored side by side on the same pictures.
        data: Folder or archive of the pictures.
        out: Folder for the files.
        split: Split to score.
        suite: Score by the rule of this set: among 200 classes (imagenet-a, imagenet-r), or over corruptions
            (imagenet-c; pictures without folders of corruptions are corrupted here, which takes a while).
        also: Further sets for the same report, such as imagenet-r=/data/imagenet-r.
        extra_corruptions: Score ImageNet-C's four extra corruptions too; they are not part of its means elsewhere.
        limit: Score this many pictures of each set only, taken evenly from the classes.
        data_name: What to call the data in the report.
        batch: Number of pictures in one call of the model.
        workers: Number of processes that decode.
        device: Where models run: cpu, cuda.

    Raises:
        InputError: A model or the data cannot be used.
    """
    further = [_further_set(word) for word in also]
    _expect_each_once([suite or split, *(group for group, _, _ in further)])
    for name, number, least in (("batch", batch, 1), ("workers", workers, 0)):
        if number < least:
            raise InputError(f"--{name} {number}: expected at least {least}; leave it out for the usual")
    keep_apart([out], [data, *(folder for _, _, folder in further)])
    contestants, models = _load(runs, device)
    classes = models[0].trained.classes
    main = suite or split
    shown = models[0].trained.model.input
    side = shown.height if shown.crop_pct < 1 else None
    chosen: list[tuple[str, Suite | None, Path]] = [(main, suite, data), *further]
    with RecordsWriter(out / RECORDS_FILE) as records:
        for group, kind, folder in chosen:
            if kind is None:
                sets = iter([open_split(folder, split, classes, limit)])
            else:
                sets = open_suite(kind, folder, split, classes, limit, extra=extra_corruptions, side=side)
            for of in sets:
                _score_all(models, group, of, records, batch, workers)
    systems = group_seeds(contestants, [model.name for model in models])
    groups = {
        group: side_by_side({model.name: model.scores[group] for model in models}, systems)
        for group in models[0].scores
    }
    metrics = groups[main] | {
        "split": split,
        "suite": suite,
        "data": data.resolve().name,
        "classes": len(classes),
        "blocks": {model.name: fingerprints(model.trained.model) for model in models},
        "pictures_per_second": {model.name: model.pictures / model.seconds for model in models},
        "sets": {group: numbers for group, numbers in groups.items() if group != main},
    }
    write_json(out / "metrics.json", metrics)
    name = data_name or f"{main} of {data.resolve().name}"
    is_imagenet = set(classes) == set(read_class_list("imagenet1k"))
    page = out / "report.html"
    write_image_report(
        page, groups, main=main, data_name=name, classes=len(classes), is_imagenet=is_imagenet, first=models[0].main
    )
    print_accuracies(groups, "picture")
    print(f"{out / 'metrics.json'}\n{out / RECORDS_FILE}\n{page}")
    return metrics


def _load(runs: Sequence[Path], device: str) -> tuple[list[Contestant], list[Scored]]:
    """The models and what tells them apart.

    Raises:
        InputError: They have different classes, so that they cannot be compared.
    """
    trained = [load_classifier(run) for run in runs]
    expect_same_classes(runs, [model.classes for model in trained])
    for model in trained:
        model.model.to(torch.device(device))
    contestants = [
        Contestant(model.name, model.recipe, run, (model.training.source, model.training.pictures))
        for run, model in zip(runs, trained, strict=True)
    ]
    return contestants, [Scored(*pair) for pair in zip(names_apart(contestants), trained, strict=True)]


def _expect_each_once(groups: Sequence[str]) -> None:
    """Sets are told by their names in metrics.json."""
    twice = first_of(sorted({name for name in groups if groups.count(name) > 1}))
    if twice:
        raise InputError(f"--also: expected each set once, found more than one {twice}; evaluate the other by itself")


def _further_set(word: str) -> tuple[str, Suite, Path]:
    """What `--also SUITE=DIR` names."""
    name, _, folder = word.partition("=")
    if name not in get_args(Suite) or not folder:
        raise InputError(
            f"--also {word}: expected SUITE=DIR with one of {', '.join(get_args(Suite))}; give, for example, "
            "imagenet-a=/data/imagenet-a"
        )
    return name, name, Path(folder)  # pyright: ignore[reportReturnType]  # the name was just checked


def _score_all(
    models: Sequence[Scored], group: str, of: EvaluationSet, records: RecordsWriter, batch: int, workers: int
) -> None:
    """Every model on one set."""
    for model in models:
        classifier, begin_s = model.trained.model, time.perf_counter()
        predictions = predict(
            classifier,
            of.source,
            shown=of.shown(classifier.input),
            batch=batch,
            workers=workers,
            title=f"{model.name}, {of.name}",
        )
        model.seconds += time.perf_counter() - begin_s
        model.pictures += len(predictions)
        found = score(predictions, model.trained.classes, of.classes, noun="picture", left_out=of.left_out)
        model.add(group, of, found)
        records.add(found.columns(model.name, of.name))
