from __future__ import annotations

from collections.abc import Callable

from perception_tools.analysis.filtering.charts import line_of, stage_chart, sweep_chart
from perception_tools.analysis.filtering.measure import filtering_json, measure
from perception_tools.analysis.filtering.views import TokenView, TokenViews


def models(make_view: Callable[..., TokenView]) -> dict[str, dict]:
    records = [(make_view(seed=seed), make_view(seed=seed, plain=True)) for seed in range(3)]
    found = measure(TokenViews("records", records), ("x/llama", "x/plain"), 0)
    return {name: filtering_json(found, model) for model, name in enumerate(found.names)}


def test_charts_name_models_stages_kinds_and_baselines(make_view: Callable[..., TokenView]) -> None:
    by_name = models(make_view)
    for svg in (stage_chart(by_name), sweep_chart(by_name)):
        for text in ("x/llama", "x/plain", "encoder", "attention", "project_out", "magnitude", "frequency"):
            assert f">{text}<" in svg
        assert f"var(--{line_of(0)})" in svg
        assert f"var(--{line_of(1)})" in svg
    for baseline in ("random", "everything", "the first"):
        assert f">{baseline}<" in stage_chart(by_name)
    assert ">project_in<" not in stage_chart(by_name)


def test_every_model_has_a_colour_of_its_own() -> None:
    assert len({line_of(model) for model in range(4)}) == 4
