"""Models of pictures with texts over a split: answers to questions, or captions and pictures found by each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from perception.errors import InputError
from perception.frozen.trained_state import fingerprints
from perception.metrics.retrieval import CUTS, DIRECTIONS, RetrievalTable, rank_pairs
from perception_datasets.image_text.karpathy import CaptionedPicture
from perception_datasets.image_text.vqa import VqaQuestion
from perception_tools.image_text.comparison import PerRecord, Scores, compare, compare_seeds
from perception_tools.image_text.data import Split, open_captions, open_questions
from perception_tools.image_text.model import TrainedImageText, load_image_text
from perception_tools.image_text.prediction import (
    encode_pictures,
    grey_tokens,
    others_than_own,
    predict_answers,
)
from perception_tools.image_text.ranking import encode_captions, score_row, score_shortlist
from perception_tools.image_text.report.examples import draw_questions
from perception_tools.image_text.report.writer import (
    shortlist_in_words,
    write_answer_report,
    write_retrieval_report,
)
from perception_tools.image_text.scoring import (
    blind_of,
    print_accuracy,
    remarks_on,
    score_vqa,
    vqa_scores,
    write_vqa_records,
)
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RecordsWriter
from perception_tools.report.side_by_side import Contestant, group_seeds, names_apart


def evaluate_image_text(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "val",
    pictures: Path | None = None,
    limit: int | None = None,
    data_name: str | None = None,
    batch: int = 64,
    pairs: int = 256,
    shortlist: int | None = None,
    examples: int = 6,
    device: str = "cpu",
) -> dict:
    """Scores trained models: OUT/metrics.json, records.parquet and report.html; answers in EvalAI's format.

    Numbers in metrics.json are shares from 0 to 1. The first run's stand at the top, the others' under `others`;
    `paired` compares the first with each of the others, `systems` averages runs that differ in their seed alone.
    `without_picture` and `shuffled_pictures` are the same model with the pictures removed, or exchanged for others:
    what it has beyond them comes from the pictures. Records whose picture is missing are left out and counted; a
    question whose picture is broken counts as wrong.

    Args:
        runs: Run folders or model files; several are scored side by side on the same records.
        data: Folder with VQAv2's questions and annotations, or with a dataset_*.json of captions.
        out: Folder for the files.
        split: Split to score.
        pictures: Folder or archive of the pictures; by default they are looked for in `data`.
        limit: Score this many of the first questions or pictures only.
        data_name: What to call the data in the report.
        batch: Number of pictures or questions in one call of the model.
        pairs: Number of pairs of a picture and a caption in one call of the fusion.
        shortlist: Retrieval scores only so many pictures for each caption, and captions for each picture in proportion,
            which are chosen from the scores of a few anchors. What that costs is measured on queries that are scored in
            full, and stands under `shortlist`. By default every pair is scored.
        examples: Number of questions that the report shows with their pictures, what each model answers, where it looks
            and what its block amplifies.
        device: Where models run: cpu, cuda.

    Raises:
        InputError: A model or the data cannot be used.
    """
    for name, number in (("batch", batch), ("pairs", pairs), ("limit", limit), ("shortlist", shortlist)):
        if number is not None and number < 1:
            raise InputError(f"--{name} {number}: expected at least 1; leave it out for the usual")
    if examples < 0:
        raise InputError(f"--examples {examples}: expected at least 0")
    if not runs:
        raise InputError("evaluate: expected at least one run, got none; give a run's folder")
    keep_apart([out], [data, *([pictures] if pictures else [])])
    models = [load_image_text(run) for run in runs]
    goals = {model.recipe.goal for model in models}
    if len(goals) > 1:
        raise InputError("evaluate: expected runs that all answer or all rank, got both; evaluate each kind by itself")
    for model in models:
        model.model.to(torch.device(device))
    contestants = [
        Contestant(model.name, model.recipe, run, (model.training.source, model.training.texts))
        for run, model in zip(runs, models, strict=True)
    ]
    names = names_apart(contestants)
    named = dict(zip(names, models, strict=True))
    if goals == {"vqa"}:
        records = open_questions(data, split, pictures, limit)
        judged = _answers(named, records, out, batch, examples)
    else:
        records = open_captions(data, split, pictures, limit)
        judged = _retrieval(named, records, out, batch, pairs, shortlist)
    if records.note:
        print(records.note)
    first, *others = names
    metrics = judged.tables[first] | {
        "name": first,
        "split": split,
        "data": data.resolve().name,
        "others": {name: judged.tables[name] for name in others},
        "paired": {name: compare(judged.scores[first], judged.scores[name]) for name in others},
        "systems": compare_seeds(list(judged.scores.values()), group_seeds(contestants, names)),
        "blocks": {name: fingerprints(model.model) for name, model in zip(names, models, strict=True)},
        "missing": list(records.missing),
        **judged.further,
    }
    metrics["unread"] = [*([records.note] if records.note else []), *judged.unread]
    write_json(out / "metrics.json", metrics)
    judged.write_report(out / "report.html", metrics, data_name or f"{split} of {data.resolve().name}")
    judged.show(metrics)
    print(f"{out / 'metrics.json'}\n{out / 'report.html'}")
    return metrics


@dataclass(frozen=True)
class _Judged:
    """Numbers of all models on one split.

    Attributes:
        tables: Name of a model → what metrics.json says of it.
        scores: Name of a model → its scores, record by record.
        further: What metrics.json holds beside.
        unread: Faults of pictures.
        write_report: Writes the page.
        show: Prints the table.
    """

    tables: dict[str, dict]
    scores: dict[str, Scores]
    further: dict
    unread: tuple[str, ...]
    write_report: Callable[[Path, dict, str], None]
    show: Callable[[dict], None]


def _answers(
    models: dict[str, TrainedImageText], records: Split[VqaQuestion], out: Path, batch: int, examples: int
) -> _Judged:
    """Every model's answers, with and without the pictures."""
    questions = records.records
    blind = blind_of(questions)
    tables, scores, own, remarks, unread = {}, {}, {}, [], {}
    for name, trained in models.items():
        pictures = encode_pictures(trained, records.files, [of.image_file for of in questions], batch, name)
        unread |= pictures.unread
        answers = predict_answers(trained, questions, pictures, batch=batch, title=name)
        submission = [{"question_id": number, "answer": answer} for number, answer in answers.items()]
        write_json(
            out / ("answers.json" if len(models) == 1 else f"answers-{list(models).index(name)}.json"), submission
        )
        own[name] = score_vqa(questions, answers)
        scores[name] = vqa_scores(own[name])
        tables[name] = own[name].as_json()
        remarks += remarks_on(name, questions, own[name], blind)
        for shown in ("without_picture", "shuffled_pictures"):
            other = score_vqa(
                questions, predict_answers(trained, questions, pictures, shown=shown, batch=batch, title=name)
            )
            numbers = {key: value for key, value in other.as_json().items() if key in ("accuracy", "interval")}
            tables[name][shown] = numbers | {"first_against_this": compare(scores[name], vqa_scores(other))}
    write_vqa_records(out / "records.parquet", questions, own)
    further = {"blind_answers": asdict(blind), "remarks": remarks}
    shown = draw_questions(models, questions, records.files, set(unread), examples)
    write_report = partial(write_answer_report, examples=shown)
    return _Judged(tables, scores, further, tuple(unread.values()), write_report, print_accuracy)


def _retrieval(
    models: dict[str, TrainedImageText],
    records: Split[CaptionedPicture],
    out: Path,
    batch: int,
    pairs: int,
    shortlist: int | None,
) -> _Judged:
    """Every model's scores of every pair, or of those on a shortlist."""
    split = records.records
    tables, scores, ranked = {}, {}, {}
    encoded = {
        name: encode_pictures(trained, records.files, [of.file for of in split], batch, name)
        for name, trained in models.items()
    }
    unread = {name: fault for of in encoded.values() for name, fault in of.unread.items()}
    read = [of for of in split if of.file not in unread]
    picture_of = np.repeat(np.arange(len(read)), [len(of.captions) for of in read])
    for number, (name, trained) in enumerate(models.items()):
        pictures = [encoded[name].tokens[of.file] for of in read]
        captions = encode_captions(trained.model, [text for of in read for text in of.captions], batch)
        path = out / "pairs" / f"{number}.npy"
        scored = score_shortlist(
            trained.model, pictures, captions, path, picture_of, shortlist, pairs=pairs, title=name
        )
        found = scored.table
        ranked[name] = rank_pairs(found, picture_of)
        scores[name] = retrieval_scores(ranked[name])
        blind = score_row(trained.model, grey_tokens(trained), captions, pairs)
        exchanged = others_than_own(range(len(read)))
        tables[name] = ranked[name].as_json() | {"shortlist": scored.shortlist}
        for shown, of in (
            ("without_picture", np.broadcast_to(blind, found.shape)),
            ("shuffled_pictures", found[exchanged]),
        ):
            table = rank_pairs(of, picture_of)
            numbers = {key: value for key, value in table.as_json().items() if key in ("recall", "interval")}
            tables[name][shown] = numbers | {"first_against_this": compare(scores[name], retrieval_scores(table))}
    _write_ranks(out / "records.parquet", read, ranked)
    return _Judged(tables, scores, {}, tuple(unread.values()), write_retrieval_report, _print_recall)


def retrieval_scores(table: RetrievalTable) -> Scores:
    """Hits at 1, 5 and 10 both ways, query by query."""
    return {
        f"{direction}/{k}": PerRecord(table.hits(direction)[:, column].astype(np.float64), table.groups(direction))
        for direction in DIRECTIONS
        for column, k in enumerate(CUTS)
    }


def _write_ranks(path: Path, read: Sequence[CaptionedPicture], ranked: dict[str, RetrievalTable]) -> None:
    captions = [text for of in read for text in of.captions]
    with RecordsWriter(path) as records:
        for name, table in ranked.items():
            records.add(
                {
                    "system": [name] * len(captions),
                    "caption": captions,
                    "picture": [read[number].file for number in table.picture_of],
                    "picture_rank": table.picture_ranks,
                    "caption_rank": table.caption_ranks[table.picture_of],
                }
            )


def _print_recall(metrics: dict) -> None:
    tables = {metrics["name"]: metrics} | metrics["others"]
    width = max(map(len, [*tables, "  picture removed"]))
    print(f"\n{metrics['pictures']:,} pictures, {metrics['captions']:,} captions; recall in per cent at 1, 5, 10")
    print(f"{'':<{width}} {'image retrieval':>23} {'text retrieval':>23}")
    for name, of in tables.items():
        shown = {name: of, "  picture removed": of["without_picture"], "  other pictures": of["shuffled_pictures"]}
        for label, table in shown.items():
            numbers = (table["recall"][direction][str(k)] for direction in DIRECTIONS for k in CUTS)
            print(f"{label:<{width}} " + " ".join(f"{100 * number:7.2f}" for number in numbers))
        if of["shortlist"]:
            print(shortlist_in_words(name, of["shortlist"]))
