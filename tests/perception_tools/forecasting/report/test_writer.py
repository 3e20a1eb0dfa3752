from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from perception.errors import InputError
from perception.metrics.forecasting import METRICS
from perception.metrics.paired import PairedDifference
from perception.traffic.scenario import Forecast
from perception_tools.forecasting.comparison import Comparison
from perception_tools.forecasting.published import AV1_MINI, PUBLISHED
from perception_tools.forecasting.report.evaluation import BlockProvenance, choose_worst
from perception_tools.forecasting.report.tables import COLUMNS
from perception_tools.forecasting.report.writer import findings, write_report

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: element ids, attributes, text, and tables as rows of cell texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids, self.attributes, self.tags, self.open = [], [], [], []
        self.text, self.style, self.tables = "", "", {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "table":
            self.rows = self.tables[dict(attrs)["id"]] = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
            return
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def column(self, table: str, heading: str) -> dict[str, str]:
        """Row heading → cell text."""
        head, *rows = self.tables[table]
        return {row[0]: row[head.index(heading)] for row in rows}


@pytest.fixture(scope="module")
def evaluations(make_evaluation):
    block = BlockProvenance("smollm2#29", "sha256:0123abcd", "block 29 of SmolLM2")
    return [
        make_evaluation("constant velocity", recipe={}, curves={}, examples=[], parameters=(0, 0)),
        make_evaluation("vectornet"),
        make_evaluation("vectornet-llama", block=block, parameters=(2_000_000, 3_540_000), view="scene"),
    ]


def written(out, evaluations, comparisons=(), *, data_name=AV1_MINI, synthetic=False, notes=()) -> Page:
    write_report(out, evaluations, comparisons, data_name=data_name, synthetic=synthetic, notes=list(notes))
    return Page((out / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(evaluations, tmp_path_factory) -> Page:
    """A report of real data, for tests that only read it."""
    return written(tmp_path_factory.mktemp("report"), evaluations)


def test_the_folder_is_made_and_holds_one_file(make_evaluation, tmp_path):
    written(tmp_path / "new", [make_evaluation(examples=[])])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_the_report_asks_nothing_of_the_network(page):
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    references = [v for name, v in page.attributes if name in ("src", "href", "xlink:href", "srcset", "action", "data")]
    assert references
    assert all(value.startswith("#") for value in references)
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert all("url(#" in value for _, value in page.attributes if value and "url(" in value)


def test_every_promised_section_is_there_once(page):
    for section in "headline pictures scores elsewhere groups learning costs failures recipes machine".split():
        assert page.ids.count(section) == 1
    assert len(page.ids) == len(set(page.ids))
    assert page.open == []


def test_every_score_in_the_tables_is_the_number_of_the_json(page, evaluations):
    for evaluation in evaluations:
        for k in ("k6", "k1"):
            for name, heading in COLUMNS.items():
                focal, everyone = evaluation.metrics[k][name], evaluation.metrics[k]["all_agents"][name]
                assert page.column(f"focal-{k}", heading)[evaluation.name] == f"{focal:.3f}"
                assert page.column(f"all-{k}", heading)[evaluation.name] == f"{everyone:.3f}"


def test_two_models_with_two_scores_are_not_mixed_up(make_evaluation, tmp_path):
    metrics = copy.deepcopy(make_evaluation().metrics)
    metrics["k6"]["min_fde"] = 123.456
    page = written(tmp_path, [make_evaluation("a", examples=[]), make_evaluation("b", examples=[], metrics=metrics)])
    assert page.column("focal-k6", "minFDE")["b"] == "123.456"
    assert page.column("focal-k6", "minFDE")["a"] != "123.456"


def test_synthetic_data_is_said_loudly_and_only_where_it_is_synthetic(page, make_evaluation, tmp_path):
    assert "SYNTHETIC DATA" in written(tmp_path, [make_evaluation(examples=[])], synthetic=True).text
    assert "SYNTHETIC" not in page.text


def test_the_data_is_named_beside_the_published_rows(page):
    assert f"Scores on {AV1_MINI}" in page.text
    assert len(page.tables["published"]) == 1 + len(PUBLISHED)
    assert {row[1] for row in page.tables["published"][1:]} == {row.data for row in PUBLISHED}


def test_pictures_of_each_model_with_examples_are_drawn(page):
    for label in ("best · ", "median · ", "worst · "):
        assert page.text.count(label) == 2


def test_block_seeds_and_parameters_are_named(page):
    assert page.column("cost", "frozen block")["vectornet-llama"] == "block 29 of SmolLM2"
    assert "sha256:0123abcd" in page.text
    assert page.column("focal-k6", "seed") == {"constant velocity": "–", "vectornet": "7", "vectornet-llama": "7"}
    assert '"learning_rate": 0.0005' in page.text


def test_views_are_compared_where_they_differ(page, make_evaluation, tmp_path):
    assert "views" in page.tables
    assert "views" not in written(tmp_path, [make_evaluation(examples=[])]).tables


def test_notes_on_failures_are_shown_as_text(make_evaluation, tmp_path):
    note = "3 of 616 scenarios could not be read: <7.csv> & others"
    page = written(tmp_path, [make_evaluation(examples=[])], notes=[note])
    assert note in page.text
    assert "No file failed" not in page.text


def test_a_model_without_curves_or_examples_is_reported_too(make_evaluation, tmp_path):
    page = written(tmp_path, [make_evaluation(curves={}, examples=[], seconds_per_scene=None)])
    assert "No curves were recorded" in page.text
    assert "No examples were chosen" in page.text
    assert page.column("cost", "ms a scene") == {"vectornet": "–"}


def test_a_report_without_evaluations_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one evaluation, got none"):
        write_report(tmp_path, [], [], data_name="x", synthetic=False, notes=[])


def test_an_earlier_report_survives_a_failure(make_evaluation, tmp_path):
    written(tmp_path, [make_evaluation(examples=[])])
    before = (tmp_path / "report.html").read_bytes()
    (example, *_) = make_evaluation().examples
    without_focal = Forecast(np.array([1]), example.forecast.trajectories[1:], example.forecast.probabilities[1:])
    with pytest.raises(IndexError):
        written(tmp_path, [make_evaluation(examples=[replace(example, forecast=without_focal)])])
    assert (tmp_path / "report.html").read_bytes() == before


def with_min_fde(evaluation, mean: float, **changes):
    metrics = copy.deepcopy(evaluation.metrics)
    metrics["k6"]["min_fde"] = mean
    return replace(evaluation, metrics=metrics, **changes)


def compared(first: str, second: str, difference: float, low: float, high: float, trainings=(1, 1)) -> Comparison:
    found = {k: dict.fromkeys(METRICS, PairedDifference(difference, low, high)) for k in ("k6", "k1")}
    return Comparison(first, second, trainings, False, 616, 0, found, found)


def test_the_headline_says_what_the_paired_comparison_shows(evaluations):
    """Whether the two models' own intervals overlap does not matter."""
    baseline, plain, llama = (with_min_fde(e, mean) for e, mean in zip(evaluations, (4.0, 2.0, 1.9), strict=True))
    models = [baseline, plain, llama]
    best, verdict, once = findings(models, [compared("vectornet-llama", "vectornet", -0.1, -0.15, -0.05)])
    assert best == (
        "vectornet-llama has the lowest minFDE of six modes, 1.900 m: 52 % below constant velocity (4.000 m, one mode)."
    )
    assert verdict == (
        "vectornet-llama against vectornet: -0.100 m minFDE of six modes [-0.150, -0.050], better (paired over 616 "
        "scenarios)."
    )
    assert "trained once" in once
    assert "no difference shown" in findings(models, [compared("vectornet-llama", "vectornet", -0.1, -0.2, 0.1)])[1]
    assert "worse" in findings(models, [compared("vectornet-llama", "vectornet", 1.0, 0.8, 1.2)])[1]
    assert len(findings(models, [compared("vectornet", "constant velocity", -2.0, -3.0, -1.0)])) == 1


def test_seeds_are_averaged_and_not_represented_by_the_best(evaluations):
    baseline, plain, _ = evaluations
    seeds = [
        with_min_fde(replace(plain, name=f"vectornet (seed {i})"), mean, system="vectornet (3 seeds)")
        for i, mean in enumerate((1.0, 2.0, 3.0))
    ]
    other = with_min_fde(plain, 1.8, name="other")
    told = findings(
        [with_min_fde(baseline, 4.0), *seeds, other],
        [compared("vectornet (3 seeds)", "other", 0.2, -0.5, 1.0, (3, 3))],
    )
    assert told[0].startswith("other has the lowest minFDE of six modes, 1.800 m")
    assert told[1].endswith("(paired over 616 scenarios, 3 and 3 trainings).")
    assert len(told) == 2


def test_the_headline_makes_no_percentage_of_a_faultless_baseline(evaluations):
    baseline, plain, _ = evaluations
    assert findings([with_min_fde(baseline, 0.0), plain], []) == []


def test_differences_of_every_metric_are_shown(evaluations, tmp_path):
    page = written(tmp_path, evaluations, [compared("vectornet", "vectornet-llama", -0.1234, -0.15, -0.05)])
    for table in ("paired-focal-k6", "paired-focal-k1", "paired-all_agents-k6", "paired-all_agents-k1"):
        for heading in COLUMNS.values():
            assert page.column(table, heading)["vectornet less vectornet-llama"] == "-0.123"
    assert "[-0.150, -0.050]" in page.text


def test_pictures_carry_the_id_of_their_record(page, evaluations):
    for example in evaluations[1].examples:
        ids = example.scenario.id, example.scenario.agents.ids[example.scenario.focal]
        assert page.text.count("scenario {}, agent {}".format(*ids)) == 2


def test_the_worst_forecasts_are_shown_by_manoeuvre_the_most_frequent_first(make_evaluation, scored, tmp_path):
    table, forecasts = scored
    worst = choose_worst(table, forecasts.__getitem__, 6)
    page = written(tmp_path, [make_evaluation(examples=[], worst=worst)])
    assert page.text.count("The 6 worst forecasts of vectornet") == 1
    shown = Counter(example.manoeuvre for example in worst)
    at = [page.text.index(f"{label}: {count}") for label, count in sorted(shown.items(), key=lambda item: -item[1])]
    assert at == sorted(at)
    assert all(page.text.count(example.caption) == 1 for example in worst)
