"""Question answering in 3-D scenes, as shared code knows it."""

from __future__ import annotations

from perception_tools.scene_qa.recipes import DESCRIPTIONS, RECIPES
from perception_tools.tasks import Command, Task

TASK = Task(
    name="scene-qa",
    title="question answering in 3-D scenes",
    format="frozen-perception scene answerer 1",
    recipes=RECIPES,
    descriptions=DESCRIPTIONS,
    run="perception_tools.scene_qa.run:SceneQaRun",
    job="perception_tools.scene_qa.job:scene_qa_job",
    load="perception_tools.scene_qa.model:load_answerer",
    evaluate="perception_tools.scene_qa.evaluate:evaluate_answerers",
    headline="perception_tools.scene_qa.headline:headline",
    token_views="perception_tools.scene_qa.token_views:scene_views",
    monitored={"em1": "max", "em10": "max", "em1_cleaned": "max"},
    node="perception_tools.scene_qa.node:open_node",
    node_kind="scene-qa",
    export="perception_tools.scene_qa.export:exportable",
    untrained="perception_tools.scene_qa.export:untrained",
    commands={
        "ask": Command(
            "perception_tools.scene_qa.ask:ask", "ask a running scene question node; prints its answer", "robot"
        ),
        "score sqa3d": Command(
            "perception_tools.scene_qa.score:score_sqa3d", "score anybody's answers to SQA3D's questions", "judge"
        ),
        "score scanqa": Command(
            "perception_tools.scene_qa.score_sets:score_scanqa",
            "score anybody's answers to ScanQA's questions",
            "judge",
        ),
        "score msqa": Command(
            "perception_tools.scene_qa.score_sets:score_msqa", "score anybody's answers to MSQA's questions", "judge"
        ),
        "score real3dqa": Command(
            "perception_tools.scene_qa.score_sets:score_real3dqa",
            "score answers to Real-3DQA: without blind-solvable questions, or from four viewpoints",
            "judge",
        ),
        "evaluate scene-qa": Command(
            "perception_tools.scene_qa.score:evaluate_scene_qa", "the former name of evaluate RUN and score sqa3d", ""
        ),
        "prepare scannet": Command(
            "perception_tools.scene_qa.prepare:prepare_scannet", "write scanned rooms to a store", "data"
        ),
        "prepare sqa3d": Command(
            "perception_tools.scene_qa.prepare:prepare_sqa3d", "join questions to the rooms of a store", "data"
        ),
        "sample rooms": Command(
            "perception_tools.scene_qa.sample:sample_rooms", "make furnished rooms and questions about them", "data"
        ),
        "bench cloud": Command(
            "perception_tools.scene_qa.bench.cloud:bench_cloud", "time sampling and grouping a scene's points", "bench"
        ),
        "bench scene-qa": Command(
            "perception_tools.scene_qa.bench.node:bench_scene_qa", "time a node's first and later answers", "bench"
        ),
    },
)
