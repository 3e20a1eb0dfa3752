"""Classification of pictures, as shared code knows it."""

from __future__ import annotations

from perception_tools.image.recipes import DESCRIPTIONS, RECIPES
from perception_tools.tasks import Command, Task

TASK = Task(
    name="image",
    title="classification of pictures on ImageNet and its robustness sets",
    format="frozen-perception image classifier 1",
    recipes=RECIPES,
    descriptions=DESCRIPTIONS,
    run="perception_tools.image.run:ImageRun",
    job="perception_tools.image.job:image_job",
    load="perception_tools.image.model:load_classifier",
    evaluate="perception_tools.image.evaluate:evaluate_classifiers",
    headline="perception_tools.image.headline:headline",
    monitored={"top1": "max", "top5": "max"},
    token_views="perception_tools.image.token_views:picture_views",
    record_losses="perception_tools.image.record_losses:record_losses",
    export="perception_tools.image.export:exportable",
    served="perception_nodes.image.exported_classifier:ExportedClassifier",
    untrained="perception_tools.image.export:untrained",
    node="perception_tools.image.node:open_node",
    node_kind="image",
    replay="perception_tools.image.replay:replay",
    demo="perception_tools.image.demo:demo",
    commands={
        "sample shapes": Command(
            "perception_tools.image.sample:sample_shapes", "draw small pictures of eight shapes", "data"
        ),
        "score imagenet": Command(
            "perception_tools.image.score:score_imagenet", "score anybody's predictions of ImageNet's classes", "judge"
        ),
        "bench vit": Command(
            "perception_tools.image.bench.vit:bench_vit", "time training and inference beside timm's ViT", "bench"
        ),
        "bench decoding": Command(
            "perception_tools.image.bench.decoding:bench_decoding",
            "time decoding and augmentation beside torchvision's and timm's",
            "bench",
        ),
    },
)
