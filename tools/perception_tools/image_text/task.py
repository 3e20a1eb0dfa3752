"""Pictures with texts, as shared code knows them."""

from __future__ import annotations

from perception_tools.image_text.recipes import DESCRIPTIONS, RECIPES
from perception_tools.tasks import Command, Task

TASK = Task(
    name="image-text",
    title="questions about pictures (VQAv2), pictures and captions found by each other (Flickr30k)",
    format="frozen-perception image-text model 1",
    recipes=RECIPES,
    descriptions=DESCRIPTIONS,
    run="perception_tools.image_text.run:ImageTextRun",
    job="perception_tools.image_text.job:image_text_job",
    load="perception_tools.image_text.model:load_image_text",
    evaluate="perception_tools.image_text.evaluate:evaluate_image_text",
    headline="perception_tools.image_text.headline:headline",
    monitored={"accuracy/overall": "max", "recall/image_retrieval/1": "max", "recall/text_retrieval/1": "max"},
    export="perception_tools.image_text.export:exportable",
    untrained="perception_tools.image_text.export:untrained",
    token_views="perception_tools.image_text.token_views:question_views",
    demo="perception_tools.image_text.demo:demo",
    commands={
        "sample picture-questions": Command(
            "perception_tools.image_text.sample:sample_picture_questions",
            "draw small pictures of coloured shapes with questions in VQAv2's format",
            "data",
        ),
        "score vqav2": Command(
            "perception_tools.image_text.score:score_vqav2", "score anybody's answers to VQAv2's questions", "judge"
        ),
        "prepare easy-vqa": Command(
            "perception_tools.image_text.prepare:prepare_easy_vqa",
            "write the questions of the package easy-vqa in VQAv2's format",
            "data",
        ),
        "bench image-text": Command(
            "perception_tools.image_text.bench.image_text:bench_image_text",
            "time training with a block, and ranking beside METER's loop and other fusions",
            "bench",
        ),
    },
)
