"""Writes the report on answers to questions about pictures, and the one on retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from perception.metrics.retrieval import CUTS, DIRECTIONS
from perception.metrics.vqa_accuracy import OVERALL
from perception_tools.image_text.published import RECALL, VQA, VQA_COLUMNS
from perception_tools.report.comparison_rows import paired_rows, percent, system_rows
from perception_tools.report.page import Cell, Table, write_page

if TYPE_CHECKING:  # no model is needed where a file of answers is scored
    from perception_tools.image_text.report.examples import ShownQuestion

_BESIDE = {"without_picture": "picture removed", "shuffled_pictures": "other pictures"}
"""Further tables of a model → what it was shown."""
_TEMPLATE = "perception_tools.image_text.report:image_text.html"


def write_answer_report(path: Path, metrics: Mapping, data_name: str, examples: Sequence[ShownQuestion] = ()) -> None:
    """Writes one self-contained page on answers, for light and dark screens.

    Args:
        path: Path of the HTML file.
        metrics: As metrics.json has them.
        data_name: What to call the questions.
        examples: Questions to show with their pictures.
    """
    systems = {metrics["name"]: metrics} | metrics["others"]
    note = "Per cent; below, the 95 % bootstrap interval over pictures."
    sections = [("Accuracy", accuracy_table(systems, metrics["blind_answers"]), note)]
    if metrics["paired"]:
        sections.append(("Question by question", paired_table(metrics), "Told apart: the interval leaves 0 out."))
    if any(len(of["seeds"]) > 1 for of in metrics.get("systems", ())):
        sections.append(("Means over seeds", seed_table(metrics["systems"], OVERALL), "Overall accuracy."))
    sections.append(("By type of question", type_table(systems), "Per cent."))
    published = "Test-dev, by EvalAI, of models trained on train and val: not the split that was scored here."
    sections.append(("Published rows", published_answers(), published))
    write_page(
        path,
        _TEMPLATE,
        title=f"{', '.join(systems)} on {data_name}",
        subtitle=f"{metrics['questions']:,} questions about {metrics['pictures']:,} pictures.",
        findings=[*answer_findings(metrics), *metrics["remarks"]],
        sections=sections,
        examples=examples,
        bar=_colour_bar() if examples else "",
        unread=list(metrics.get("unread", ())),
    )


def _colour_bar() -> Markup:
    from perception_tools.analysis.filtering.pictures import colour_bar_svg

    return Markup(colour_bar_svg())


def write_retrieval_report(path: Path, metrics: Mapping, data_name: str) -> None:
    """Writes one self-contained page on retrieval; arguments as of `write_answer_report`."""
    systems = {metrics["name"]: metrics} | metrics["others"]
    note = "Per cent; below, the 95 % bootstrap interval over pictures. Ties count against."
    sections = [("Recall", recall_table(systems), note)]
    if metrics["paired"]:
        sections.append(("Query by query", paired_table(metrics), "Told apart: the interval leaves 0 out."))
    if any(len(of["seeds"]) > 1 for of in metrics.get("systems", ())):
        sections.append(("Means over seeds", seed_table(metrics["systems"], "image_retrieval/1"), "Image R@1."))
    rows = [(name, [Cell(f"{value:.2f}") for value in values]) for name, values in RECALL.items()]
    table = Table("published", "Image retrieval on Flickr30k, %", ("model", *(f"R@{k}" for k in CUTS)), rows)
    sections.append(("Published rows", table, "1,000 pictures of Karpathy's test split, which METER calls val."))
    first = metrics["recall"][DIRECTIONS[0]]["1"]
    chance = 1 / metrics["pictures"]
    write_page(
        path,
        _TEMPLATE,
        title=f"{', '.join(systems)} on {data_name}",
        subtitle=f"{metrics['pictures']:,} pictures and {metrics['captions']:,} captions.",
        findings=[
            f"{metrics['name']} finds the picture of {percent(first)} % of the captions first; chance is "
            f"{percent(chance)} %.",
            *(
                shortlist_in_words(name, of["shortlist"]) if of["shortlist"] else f"{name}: every pair was scored."
                for name, of in systems.items()
            ),
        ],
        sections=sections,
        examples=(),
        unread=list(metrics.get("unread", ())),
    )


def shortlist_in_words(name: str, shortlist: dict) -> str:
    """What a shortlist left out, and what that cost."""
    sentence = (
        f"{name}: {shortlist['scored']:,} of {shortlist['of']:,} pairs were scored, a shortlist of "
        f"{shortlist['pictures']} pictures for each caption."
    )
    for direction, of in shortlist["checked"].items():
        cells = ", ".join(f"R@{k} {100 * of['full'][k]:.1f} and {100 * of['shortlist'][k]:.1f} %" for k in of["full"])
        sentence += (
            f" {direction.replace('_', ' ').capitalize()} of {of['queries']:,} queries by the full ranking and by the "
            f"shortlist: {cells}."
        )
    return sentence


def answer_findings(metrics: Mapping) -> Iterator[str]:
    """Yields the headline in sentences: the first system, and what it would be without looking."""
    low, high = metrics["interval"][OVERALL]
    blind = metrics["blind_answers"]
    yield (
        f"{metrics['name']} has an accuracy of {percent(metrics['accuracy'][OVERALL])} % (95 % interval over "
        f"pictures {percent(low)} to {percent(high)}). Without a look at pictures, the best answer to each type of "
        f"question has {percent(blind['by_question_type'])} %, and {blind['answer']!r} to everything "
        f"{percent(blind['constant'])} %; both were chosen with the true answers in hand."
    )
    for kind, words in _BESIDE.items():
        if kind in metrics:
            of = metrics[kind]["first_against_this"][OVERALL]
            low, high = of["interval"]
            yield (
                f"With {words} it has {percent(metrics[kind]['accuracy'][OVERALL])} %: "
                f"{100 * of['difference']:+.2f} points come from the pictures (95 % interval {100 * low:+.2f} to "
                f"{100 * high:+.2f})."
            )


def accuracy_table(systems: Mapping[str, Mapping], blind: Mapping) -> Table:
    """Accuracy of all systems and of their blind selves, overall and by answer type."""
    kinds = list(next(iter(systems.values()))["accuracy"])
    rows = []
    for name, of in systems.items():
        shown = {name: of} | {f"{name}, {words}": of[kind] for kind, words in _BESIDE.items() if kind in of}
        for label, table in shown.items():
            ends = [table["interval"][kind] for kind in kinds]
            cells = [
                Cell(percent(table["accuracy"][kind]), f"{percent(low)} to {percent(high)}")
                for kind, (low, high) in zip(kinds, ends, strict=True)
            ]
            rows.append((label, cells))
    empty = [Cell("–")] * (len(kinds) - 1)
    rows.append((f"always {blind['answer']!r}, an oracle", [Cell(percent(blind["constant"])), *empty]))
    rows.append(("best answer to each question type, an oracle", [Cell(percent(blind["by_question_type"])), *empty]))
    return Table("accuracy", "VQA accuracy, %", ("system", *kinds), rows)


def type_table(systems: Mapping[str, Mapping]) -> Table:
    """Accuracy of each type of question, the most frequent first."""
    first = next(iter(systems.values()))["by_question_type"]
    rows = []
    for kind in sorted(first, key=lambda kind: (-first[kind]["questions"], kind)):
        cells = [Cell(f"{first[kind]['questions']:,}")]
        for of in systems.values():
            low, high = of["by_question_type"][kind]["interval"]
            cells.append(Cell(percent(of["by_question_type"][kind]["accuracy"]), f"{percent(low)} to {percent(high)}"))
        rows.append((kind, cells))
    return Table("types", "VQA accuracy by the beginning of the question, %", ("type", "questions", *systems), rows)


def recall_table(systems: Mapping[str, Mapping]) -> Table:
    """Recall both ways, of all systems and of their blind selves."""
    headings = [f"{direction.replace('_', ' ')} R@{k}" for direction in DIRECTIONS for k in CUTS]
    rows = []
    for name, of in systems.items():
        shown = {name: of} | {f"{name}, {words}": of[kind] for kind, words in _BESIDE.items() if kind in of}
        for label, table in shown.items():
            cells = []
            for direction in DIRECTIONS:
                for k in map(str, CUTS):
                    low, high = table["interval"][direction][k]
                    cells.append(Cell(percent(table["recall"][direction][k]), f"{percent(low)} to {percent(high)}"))
            rows.append((label, cells))
    return Table("recall", "Recall, %", ("system", *headings), rows)


def paired_table(metrics: Mapping) -> Table:
    """The first system against each of the others."""
    headings = ("against", "difference, points", "fully right only here", "only there", "McNemar's p", "told apart")
    return Table("paired", f"{metrics['name']} against the others", headings, paired_rows(metrics["paired"]))


def seed_table(systems: list[dict], metric: str) -> Table:
    """Means over the seeds of each training, and the first one's differences."""
    headings = ("training", "seeds", "mean, %", "first less this, points", "told apart")
    caption = "Means over seeds; below, lowest and highest seed, or the interval"
    return Table("systems", caption, headings, system_rows(systems, metric))


def published_answers() -> Table:
    """The paper's table 5a."""
    rows = [(name, [Cell(f"{value:.2f}") for value in values]) for name, values in VQA.items()]
    return Table("published", "VQAv2, %", ("model", *VQA_COLUMNS), rows)
