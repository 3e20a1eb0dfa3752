"""Recognition of actions in clips, as shared code knows it."""

from __future__ import annotations

from perception_tools.tasks import Command, Task
from perception_tools.video.recipes import DESCRIPTIONS, RECIPES

TASK = Task(
    name="video",
    title="recognition of actions in clips",
    format="frozen-perception action recognizer 1",
    recipes=RECIPES,
    descriptions=DESCRIPTIONS,
    run="perception_tools.video.run:ActionRun",
    job="perception_tools.video.job:action_job",
    load="perception_tools.video.model:load_recognizer",
    evaluate="perception_tools.video.evaluate:evaluate_recognizers",
    headline="perception_tools.video.headline:headline",
    monitored={"top1": "max", "top5": "max"},
    node="perception_tools.video.node:open_node",
    node_kind="video",
    replay="perception_tools.video.replay:replay",
    token_views="perception_tools.video.token_views:clip_views",
    record_losses="perception_tools.video.record_losses:record_losses",
    export="perception_tools.video.export:exportable",
    untrained="perception_tools.video.export:untrained",
    commands={
        "bench video": Command(
            "perception_tools.video.bench.video:bench_video",
            "time training through the block beside bare VideoMAE, and decoding by seeking",
            "bench",
        ),
    },
)
