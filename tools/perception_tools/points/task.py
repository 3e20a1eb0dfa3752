"""Classification of point clouds, as shared code knows it."""

from __future__ import annotations

from perception_tools.points.recipes import DESCRIPTIONS, RECIPES
from perception_tools.tasks import Command, Task

TASK = Task(
    name="points",
    title="classification of point clouds: ModelNet40, ScanObjectNN and others",
    format="frozen-perception point classifier 1",
    recipes=RECIPES,
    descriptions=DESCRIPTIONS,
    run="perception_tools.points.run:PointRun",
    job="perception_tools.points.job:point_job",
    load="perception_tools.points.model:load_classifier",
    evaluate="perception_tools.points.evaluate:evaluate_classifiers",
    headline="perception_tools.points.headline:headline",
    monitored={"top1": "max", "top5": "max"},
    node="perception_tools.points.node:open_node",
    node_kind="points",
    replay="perception_tools.points.replay:replay",
    token_views="perception_tools.points.token_views:cloud_views",
    record_losses="perception_tools.points.record_losses:record_losses",
    export="perception_tools.points.export:exportable",
    untrained="perception_tools.points.export:untrained",
    commands={
        "sample objects": Command(
            "perception_tools.points.sample:sample_objects", "make labelled point clouds of furniture", "data"
        ),
        "analyse reconstruction": Command(
            "perception_tools.points.reconstruction:analyse_reconstruction",
            "score and draw what a pre-trained encoder of clouds makes of hidden parts",
            "judge",
        ),
        "bench points": Command(
            "perception_tools.points.bench.points:bench_points",
            "time sampling, training steps and reading of clouds beside other ways",
            "bench",
        ),
    },
)
