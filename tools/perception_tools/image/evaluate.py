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
from perception_tools.image.corruption_scores import CorruptionScores, compare_corruptions
from perception_tools.image.model import TrainedClassifier, load_classifier
from perception_tools.image.prediction import predict
from perception_tools.image.report.writer import write_image_report
from perception_tools.image.scores import SetScores, compare, compare_trainings, score
from perception_tools.image.sets import EvaluationSet, Suite, open_split, open_suite
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, RecordsWriter
from perception_tools.report.side_by_side import Contestant, TrainedSystem, group_seeds, names_apart

Scores = SetScores | CorruptionScores


@dataclass
class Scored:
    """One model and its scores so far.

    Attributes:
        name: Heading of its column.
        trained: The model.
        scores: Name of a set or suite → scores.
        seconds: Time spent, decoding included.
        pictures: Number of pictures that were classified.
    """

    name: str
    trained: TrainedClassifier
    scores: dict[str, Scores] = field(default_factory=dict)
    seconds: float = 0.0
    pictures: int = 0

    def add(self, group: str, of: EvaluationSet, found: SetScores) -> None:
        """Adds the scores of a set of a group: ImageNet-C's many sets are one."""
        if not of.corruption:
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
    groups = {group: _group_json(models, systems, group) for group in models[0].scores}
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
    write_image_report(page, groups, main=main, data_name=name, classes=len(classes), is_imagenet=is_imagenet)
    _print_table(groups)
    print(f"{out / 'metrics.json'}\n{out / RECORDS_FILE}\n{page}")
    return metrics


def _load(runs: Sequence[Path], device: str) -> tuple[list[Contestant], list[Scored]]:
    """The models and what tells them apart.

    Raises:
        InputError: They have different classes, so that they cannot be compared.
    """
    trained = [load_classifier(run) for run in runs]
    if not trained:
        raise InputError("evaluate: expected at least one run, got none; give a run's folder")
    for run, model in zip(runs, trained, strict=True):
        if model.classes != trained[0].classes:
            raise InputError(
                f"{run}: expected a model with the {len(trained[0].classes)} classes of {runs[0]}, it has other "
                f"{len(model.classes)}; evaluate it by itself"
            )
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
        found = score(predictions, model.trained.classes, of)
        model.add(group, of, found)
        records.add(found.columns(model.name, of))


def _group_json(models: Sequence[Scored], systems: Sequence[TrainedSystem], group: str) -> dict:
    """All numbers of one set: the first model's, the others' beside them, and what lies between them."""
    scores = [model.scores[group] for model in models]
    by_name = {model.name: of.as_json() for model, of in zip(models, scores, strict=True)}
    first, *others = by_name
    numbers = by_name[first] | {"name": first, "others": {name: by_name[name] for name in others}}
    if all(isinstance(of, SetScores) for of in scores):
        plain = [of for of in scores if isinstance(of, SetScores)]
        numbers["paired"] = {name: compare(plain[0], of) for name, of in zip(others, plain[1:], strict=True)}
        numbers["failures"] = dict(plain[0].unread)
    numbers["systems"] = [_system_json(systems[0], system, scores) for system in systems]
    return numbers


def _system_json(first: TrainedSystem, system: TrainedSystem, scores: Sequence[Scores]) -> dict:
    """Means of one system over its seeds, and the first system's difference to it."""
    ours, theirs = ([scores[number] for number in of.members] for of in (first, system))
    columns = ("top1", "top5") if isinstance(scores[0], SetScores) else ("mean_top1", "top5", "mce")
    tables = [of.as_json() for of in theirs]
    known = [name for name in columns if all(name in table for table in tables)]
    numbers: dict = {
        "name": system.name,
        "seeds": list(system.seeds),
        "mean": {name: sum(table[name] for table in tables) / len(tables) for name in known},
        "values": {name: [table[name] for table in tables] for name in known},
    }
    if system is not first:
        same_seeds = first.seeds == system.seeds
        found = _compare(ours, theirs, same_seeds)
        numbers["first_against_this"] = {
            name: {"difference": of.difference, "interval": list(of.interval), "told_apart": of.told_apart}
            for name, of in found.items()
        }
    return numbers


def _compare(ours: Sequence[Scores], theirs: Sequence[Scores], same_seeds: bool) -> dict:
    if all(isinstance(of, CorruptionScores) for of in (*ours, *theirs)):
        return compare_corruptions(
            [of for of in ours if isinstance(of, CorruptionScores)],
            [of for of in theirs if isinstance(of, CorruptionScores)],
            same_seeds=same_seeds,
        )
    return compare_trainings(
        [of for of in ours if isinstance(of, SetScores)],
        [of for of in theirs if isinstance(of, SetScores)],
        same_seeds=same_seeds,
    )


def _print_table(groups: dict[str, dict]) -> None:
    """Top-1 and top-5 of every model on every set, on the screen."""
    rows = {
        name: [f"{100 * table['top1']:6.2f}  {100 * table['top5']:6.2f}" for table in tables]
        for name, *tables in zip(
            [next(iter(groups.values()))["name"], *next(iter(groups.values()))["others"]],
            *([numbers, *numbers["others"].values()] for numbers in groups.values()),
            strict=True,
        )
    }
    width = max(map(len, rows))
    counted = ", ".join(f"{group} ({numbers['pictures']:,} pictures)" for group, numbers in groups.items())
    print(f"\ntop-1 and top-5 accuracy in per cent: {counted}")
    for name, numbers in rows.items():
        print(f"{name:<{width}}  " + "    ".join(numbers))
    for group, table in groups.items():
        if table.get("left_out"):
            print(f"{group}: {table['left_out']:,} pictures of classes that the models lack are not counted")
        if table.get("unread"):
            print(f"{group}: {table['unread']} pictures could not be read and are not counted")
    print()
