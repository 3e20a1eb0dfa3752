"""Trajectory forecasting, as shared code knows it."""

from __future__ import annotations

from perception_tools.forecasting.recipes import DESCRIPTIONS, RECIPES
from perception_tools.tasks import Command, Task

TASK = Task(
    name="forecast",
    title="trajectory forecasting on Argoverse",
    format="frozen-perception forecaster 2",
    recipes=RECIPES,
    descriptions=DESCRIPTIONS,
    run="perception_tools.forecasting.run:ForecastRun",
    job="perception_tools.forecasting.job:forecast_job",
    load="perception_tools.forecasting.model:load_model",
    evaluate="perception_tools.forecasting.evaluate:evaluate_forecasters",
    headline="perception_tools.forecasting.headline:headline",
    monitored={"k6/min_fde": "min", "k6/min_ade": "min", "k6/miss_rate": "min", "k1/min_fde": "min"},
    node="perception_tools.forecasting.node:open_node",
    node_kind="forecast",
    replay="perception_tools.forecasting.replay:replay",
    token_views="perception_tools.forecasting.token_views:forecast_views",
    record_losses="perception_tools.forecasting.record_losses:record_losses",
    export="perception_tools.forecasting.export:exportable",
    served="perception_tools.forecasting.served:served",
    untrained="perception_tools.forecasting.export:untrained",
    demo="perception_tools.forecasting.demo:demo",
    commands={
        "prepare forecasting": Command(
            "perception_tools.forecasting.prepare:prepare_forecasting",
            "write scenarios to a store for repeated training",
            "data",
        ),
        "sample argoverse2": Command(
            "perception_tools.forecasting.sample:sample_argoverse2",
            "make synthetic scenarios in Argoverse 2's format",
            "data",
        ),
        "map convert": Command(
            "perception_tools.forecasting.convert_map:convert_map",
            "convert a robot's or a data set's map to the message that nodes latch",
            "robot",
        ),
        "score forecasts": Command(
            "perception_tools.forecasting.score:score_forecasts",
            "score anybody's forecasts: a submission to Argoverse 1 or 2",
            "judge",
        ),
        "predict forecasts": Command(
            "perception_tools.forecasting.predict:predict_forecasts",
            "write forecasts as a submission to Argoverse 1 or 2",
            "judge",
        ),
        "bench readers": Command(
            "perception_tools.forecasting.bench.readers:bench_readers",
            "time the scenario readers on real files",
            "bench",
        ),
        "bench node": Command(
            "perception_tools.forecasting.bench.node:bench_node",
            "time the forecasting node: latency, memory, transport",
            "bench",
        ),
    },
)
