"""Recipes for answering questions about scenes. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from typing_extensions import override

from perception_tools.training.bounds import Count, Depth, Share, Size, Weight
from perception_tools.training.recipes import BLOCKS, LearningRecipe, Schedule, check_heads


@dataclass(frozen=True)
class SceneQaRecipe(LearningRecipe):
    """VoteNet, an LSTM and MCAN's fusion on SQA3D, with the numbers of Pang et al. (§4.5) where they state them.

    Attributes:
        blind: Answer from the texts alone.
        without_situation: Leave situations unread.
        grounded: Tell the fusion what objects are called and where they are, and let the question meet them as seen
            from the place where the situation puts the asker (`perception.fusion.grounding`); False is the
            published model, whose objects have no places.
        legacy_color: Normalise colours twice, as the published code does by mistake.
        detector: `votenet`: VoteNet's widths and 2,048 centres; `votenet-small`: half as wide, a quarter as many, for
            some thousand points.
        named_seeds: Name the object under every seed too; False is VoteNet. On made rooms, after 600 steps of four
            scenes, the cross-entropy of the proposals' names was 0.93 with it and 1.45 without.
        points: Number of points sampled from a scan.
        proposals: Number of object proposals in a scene.
        detection_loss: Whether boxes teach the detector.
        detector_first: Part of training in which only the detector learns: a question about objects teaches little
            before there are objects. With 1 nothing else learns, for others to take the detector (`--detector-run`).
        class_weight: Weight of naming objects in the detector's loss; 0.1 in VoteNet and SQA3D.
        answer_loss: `binary`: each answer is judged for itself (SQA3D); `softmax`: answers compete.
        viewpoint_loss: Whether the asker's place is estimated and taught, SQA3D's auxiliary task.
        dim: Width of all tokens: 256 in SQA3D, 768 in Pang et al.
        heads: Number of heads of every attention.
        layers: Number of layers of every stack in the fusion.
        pooled_dim: Width of each pooled vector.
        word_dim: Width of word vectors that are learned.
        text_dim: Width of the LSTM.
        dropout: Dropout in the fusion.
        word_dropout: Dropout of the numbers in word vectors.
        scenes: Number of scenes in a step, over all processes.
        questions_per_scene: Number of questions about each of them in a step: a scene is sampled and encoded once for
            all.
        turns: Turns of training scenes about the vertical: `half` as in SQA3D, or `quarter` where walls are parallel to
            axes.
        mirror: Mirror every other training scene. SQA3D does and leaves texts as they are; here left and right in its
            texts change places.
        schedule: As in `LearningRecipe`; `steps` is that of Pang et al.
    """

    blind: bool = False
    without_situation: bool = False
    grounded: bool = False
    legacy_color: bool = False
    detector: Literal["votenet", "votenet-small"] = "votenet"
    named_seeds: bool = False
    points: Size = 40_000
    proposals: Size = 256
    detection_loss: bool = True
    detector_first: Share = 0.0
    class_weight: Weight = 0.1
    answer_loss: Literal["binary", "softmax"] = "binary"
    viewpoint_loss: bool = True
    dim: Size = 768
    heads: Size = 8
    layers: Depth = 2
    pooled_dim: Size = 512
    word_dim: Size = 300
    text_dim: Size = 256
    dropout: Share = 0.1
    word_dropout: Share = 0.3
    scenes: Count = 8
    questions_per_scene: Count = 4
    turns: Literal["half", "quarter"] = "half"
    mirror: bool = False
    schedule: Schedule = "steps"
    weight_decay: Weight = 1e-5

    @override
    def check(self) -> None:
        """As in `LearningRecipe`; every attention has the same heads."""
        super().check()
        check_heads(self.dim, self.heads)


ROOMS = SceneQaRecipe(
    grounded=True,
    detector="votenet-small",
    named_seeds=True,
    points=4_096,
    proposals=48,
    dim=64,
    heads=4,
    pooled_dim=128,
    word_dim=64,
    text_dim=64,
    dropout=0.0,
    word_dropout=0.0,
    class_weight=1.0,
    detector_first=0.5,
    answer_loss="softmax",
    passes=16,
    scenes=4,
    questions_per_scene=16,
    turns="quarter",
    mirror=True,
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=100,
    weight_decay=0.01,
    average_decay=0.99,
)
"""Learns the rooms of `perception sample rooms` in minutes on one core."""

DETECTORS = {
    "sqa3d": replace(SceneQaRecipe(), block=BLOCKS[""][0], detector_first=1.0),
    "rooms": replace(ROOMS, block=BLOCKS[""][0], detector_first=1.0, passes=18, learning_rate=2e-3),
}
"""Detectors alone, for others to take."""

_DATA = (("sqa3d", SceneQaRecipe(), "questions about scans"), ("rooms", ROOMS, "questions about made rooms, small"))

RECIPES: dict[str, SceneQaRecipe] = {
    f"scene-qa/{data}{suffix}": replace(recipe, block=block)
    for data, recipe, _ in _DATA
    for suffix, (block, _) in BLOCKS.items()
} | {f"scene-qa/{data}-detector": recipe for data, recipe in DETECTORS.items()}
"""Word on the command line → recipe. Rows of Pang et al., Tables 5 and B (there: AdamW, batch 32, 30 epochs)."""

DESCRIPTIONS = {
    f"scene-qa/{data}{suffix}": f"{what}, {text}" for data, _, what in _DATA for suffix, (_, text) in BLOCKS.items()
} | {f"scene-qa/{data}-detector": f"{what}: their detector alone, for --detector-run" for data, _, what in _DATA}
