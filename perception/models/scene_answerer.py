"""Questions about a 3-D scene: VoteNet's objects, a situation and a question → frozen language block → answers.

SQA3D's model (ScanQA with a situation, https://arxiv.org/abs/2210.07474). Pang et al. (ICLR 2024, §4.5) put the block
"after the vision-language fusion"; their code was never released. Here the block reads the objects after the last
layer that guides them, masked to proposals that are objects, before they are pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from perception.clouds.grouping import take
from perception.encoders.text import LstmText, TextEncoder
from perception.encoders.votenet import Detections, VoteNet
from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.fusion.grounding import Grounding, ReadText, SeenObjects
from perception.fusion.mcan import AttentionPool, SceneTextFusion
from perception.heads.answer import AnswerHead, SceneAnswers, ViewpointHead
from perception.kernels.precision import Precision
from perception.models.with_block import exchange_block, fold_block
from perception.scenes.motion import STILL, SceneMotion
from perception.scenes.sample import POINTS, STILL_SEED, SceneBatch, SceneSample, collate_scenes, sample_scene
from perception.scenes.scene import Scene
from perception.texts.vocabulary import TextBatch
from perception.tokens import Tokens


@dataclass(frozen=True)
class SceneTokens:
    """All that questions need of scenes, computed once for any number of questions.

    Attributes:
        objects: A token for every proposal that is an object; the others would be masked in all that follows.
        proposals: Which proposal each token is of.
        detections: All proposals.
        looks: Of the objects, where the model is grounded.
    """

    objects: Tokens
    proposals: Int[Tensor, "scenes objects"]
    detections: Detections
    looks: Float[Tensor, "scenes objects features"] | None = None


@dataclass(frozen=True)
class SceneInput:
    """How scenes become what the detector reads.

    Attributes:
        points: Number of points sampled from a scan.
        legacy_color: Whether colours are normalised twice, as the published code does by mistake.
    """

    points: int = POINTS
    legacy_color: bool = False

    def prepare(self, scene: Scene, rng: np.random.Generator | None = None, motion: SceneMotion = STILL) -> SceneSample:
        """Sampled points of a scene; without a generator the same points every time, in evaluation and in nodes."""
        rng = rng or np.random.default_rng(STILL_SEED)
        return sample_scene(scene, rng, count=self.points, motion=motion, legacy_color=self.legacy_color)


class SceneAnswerer(nn.Module):
    """Encoders, fusion, block and heads.

    Args:
        scene: Points to proposals; None answers blindly, from the texts alone.
        text: Reads situations and questions.
        block: The frozen block between its two projections, or any of its controls, of width `dim`; None where there
            is no scene.
        answers: How many answers are known.
        dim: Width of all tokens: 256 in SQA3D, 768 in Pang et al.
        heads: Of every attention; they divide `dim`.
        layers: Of every stack in the fusion.
        pooled_dim: Width of each pooled vector.
        dropout: In the fusion.
        with_situation: Whether situations are read; where not, each is the empty text. (SQA3D's `--wos` puts an
            unknown word for each of its words, so that its length is still told.)
        with_viewpoint: Whether the asker's place is estimated too, SQA3D's auxiliary task.
        grounded_names: Names of the detector's classes: objects are then grounded in what the texts say, see
            `perception.fusion.grounding`, which estimates the asker's place in any case. None, as in SQA3D
            and Pang et al., leaves that to the fusion.
        one_answer: As `SceneAnswers` says.
        input: Shows scenes to the detector.
    """

    def __init__(
        self,
        scene: VoteNet | None,
        text: TextEncoder,
        block: FrozenBlockAdapter | None,
        answers: int,
        *,
        dim: int = 256,
        heads: int = 8,
        layers: int = 2,
        pooled_dim: int = 512,
        dropout: float = 0.1,
        with_situation: bool = True,
        with_viewpoint: bool = True,
        grounded_names: Sequence[str] | None = None,
        one_answer: bool = False,
        input: SceneInput = SceneInput(),
    ) -> None:
        super().__init__()
        self.input = input
        if (scene is None) != (block is None):
            raise ValueError("SceneAnswerer: expected a block exactly where there is a scene to see, got one of both")
        self.scene, self.text, self.block = scene, text, block
        self.with_situation, self.one_answer = with_situation, one_answer
        self.text_in = nn.Sequential(nn.Linear(text.dim, dim), nn.GELU())
        self.fusion = SceneTextFusion(dim, heads, layers, dropout, with_objects=scene is not None)
        self.pool_situation = AttentionPool(dim, pooled_dim, dropout)
        self.pool_question = AttentionPool(dim, pooled_dim, dropout)
        self.objects_in = None if scene is None else nn.Sequential(nn.Linear(scene.dim, dim), nn.GELU())
        self.pool_objects = None if scene is None else AttentionPool(dim, pooled_dim, dropout)
        self.grounding = None
        if grounded_names is not None and scene is not None:
            if not isinstance(text, LstmText):
                raise ValueError("SceneAnswerer: expected a text encoder with word vectors to compare names by")
            self.grounding = Grounding(scene.features, text, grounded_names, dim, pooled_dim)
        tally_dim = 0 if self.grounding is None else dim
        self.answer_head = AnswerHead((2 if scene is None else 3) * pooled_dim + tally_dim, dim, answers)
        sees_viewpoint = with_viewpoint and scene is not None and self.grounding is None
        self.viewpoint_head = ViewpointHead(2 * pooled_dim, dim) if sees_viewpoint else None

    def forward(
        self,
        points: Float[Tensor, "scenes points 3"],
        features: Float[Tensor, "scenes points features"],
        situation: TextBatch,
        question: TextBatch,
        scene_of_question: Int[Tensor, " questions"] | None = None,
    ) -> tuple[SceneAnswers, SceneTokens | None]:
        """Answers, and what was seen on the way; see `encode_scene` and `answer`."""
        scenes = None if self.scene is None else self.encode_scene(points, features)
        return self.answer(scenes, situation, question, scene_of_question), scenes

    def prepare(self, scene: Scene, rng: np.random.Generator | None = None, motion: SceneMotion = STILL) -> SceneSample:
        """Sampled points of a scene; see `SceneInput.prepare`."""
        return self.input.prepare(scene, rng, motion)

    def collate(self, samples: Sequence[SceneSample]) -> SceneBatch:
        """Scenes side by side."""
        return collate_scenes(samples)

    def with_block(self, block: nn.Module) -> SceneAnswerer:
        """The model with another block; all other weights are shared."""
        return exchange_block(self, block)

    def folded(self, precision: Precision = "float32") -> SceneAnswerer:
        """The model for serving; see `perception.models.with_block.fold_block`."""
        return fold_block(self, precision)

    def encode(self, scenes: Sequence[Scene]) -> SceneTokens | None:
        """What questions need of scenes; None in a model that answers blindly."""
        if self.scene is None:
            return None
        batch = self.collate([self.prepare(scene) for scene in scenes]).to(next(self.parameters()).device)
        return self.encode_scene(batch.points, batch.features)

    def ask(
        self,
        scenes: SceneTokens | None,
        situations: Sequence[str],
        questions: Sequence[str],
        scene_of_question: Int[Tensor, " questions"] | None = None,
    ) -> SceneAnswers:
        """Answers to questions in words; see `answer`."""
        return self.answer(scenes, self.text.batch(situations), self.text.batch(questions), scene_of_question)

    def encode_scene(
        self, points: Float[Tensor, "scenes points 3"], features: Float[Tensor, "scenes points features"]
    ) -> SceneTokens:
        """What questions need of scenes.

        Args:
            points: Scene frame, metres.
            features: As `perception.scenes.sample.SceneBatch` says.

        Raises:
            InputError: There is no point, or one is not finite.
        """
        if self.scene is None or self.objects_in is None:
            raise ValueError("SceneAnswerer: expected a model that sees scenes, got one that answers blindly")
        _check_points(points, features)
        found = self.scene(points, features)
        proposals = found.valid.int().argsort(dim=1, descending=True, stable=True)[:, : found.valid.sum(1).max()]
        values = self.objects_in(take(found.features, proposals))
        looks = None
        if self.grounding is not None:
            looks = take(self.grounding.look(found, features), proposals)
            values = values + self.grounding.look_in(looks)
        return SceneTokens(Tokens(values, found.valid.gather(1, proposals)), proposals, found, looks)

    def answer(
        self,
        scenes: SceneTokens | None,
        situation: TextBatch,
        question: TextBatch,
        scene_of_question: Int[Tensor, " questions"] | None = None,
    ) -> SceneAnswers:
        """Answers to questions about scenes that are encoded.

        Args:
            scenes: What `encode_scene` gave; not read by a model that answers blindly.
            situation: Where each asker stands, from `text.batch`.
            question: As many.
            scene_of_question: Which scene each question is about. None where all are about the only scene, or the
                first about the first and so on.
        """
        if not self.with_situation:
            situation = self.text.batch([""] * len(question.ids))
        told, asked = self.fusion.read(self._read(situation), self._read(question))
        pooled_situation, _ = self.pool_situation(told)
        pooled_question, _ = self.pool_question(asked)
        if self.block is None or self.pool_objects is None:
            logits = self.answer_head(torch.cat([pooled_situation, pooled_question], dim=-1))
            return SceneAnswers(logits, None, None, self.one_answer)
        assert scenes is not None
        scene = _scene_of_question(len(scenes.proposals), len(question.ids), scene_of_question, question.ids.device)
        objects = Tokens(scenes.objects.values[scene], scenes.objects.valid[scene])
        viewpoint, prior, tally = None, None, []
        if self.grounding is None:
            objects = self.fusion.guide(objects, told, asked)
        else:
            assert isinstance(self.text, LstmText)
            words = self.text.words
            said = ReadText(words(situation.ids), told, pooled_situation)
            wanted = ReadText(words(question.ids), asked, pooled_question)
            seen = _with_detections(objects, scenes, scene)
            grounded = self.grounding(self.fusion, words, seen, said, wanted)
            objects, viewpoint, prior, tally = grounded.objects, grounded.viewpoint, grounded.prior, [grounded.tally]
        pooled_objects, weights = self.pool_objects(objects.replace(self.block(objects)), prior)
        evidence = weights.new_zeros(len(scene), scenes.detections.valid.shape[1])
        evidence = evidence.scatter(1, scenes.proposals[scene], weights)
        logits = self.answer_head(torch.cat([pooled_situation, pooled_question, pooled_objects, *tally], dim=-1))
        if self.viewpoint_head is not None:
            viewpoint = self.viewpoint_head(torch.cat([pooled_situation, pooled_objects], dim=-1))
        return SceneAnswers(logits, evidence, viewpoint, self.one_answer)

    def _read(self, texts: TextBatch) -> Tokens:
        read = self.text(texts)
        return read.replace(self.text_in(read.values))


def _with_detections(objects: Tokens, scenes: SceneTokens, scene: Int[Tensor, " questions"]) -> SeenObjects:
    """Objects of each question's scene, with what was detected of them."""
    found = scenes.detections
    boxes, classes = (take(v.detach(), scenes.proposals)[scene] for v in (found.boxes, found.class_scores))
    assert scenes.looks is not None
    return SeenObjects(objects, boxes, classes.softmax(-1), scenes.looks[scene])


def _scene_of_question(
    scenes: int, questions: int, given: Int[Tensor, " questions"] | None, device: torch.device
) -> Int[Tensor, " questions"]:
    """Which scene each question is about."""
    if given is not None:
        return given
    if scenes not in (1, questions):
        raise ValueError(f"answer: expected one scene, or one for each of {questions} questions, got {scenes}")
    return (
        torch.arange(questions, device=device)
        if scenes > 1
        else torch.zeros(questions, dtype=torch.long, device=device)
    )


def _check_points(points: Tensor, features: Tensor) -> None:
    if points.shape[1] == 0:
        raise InputError("scene: expected points, got none; give a scan that holds some")
    for name, values in (("points", points), ("features", features)):
        broken = ~values.isfinite().all(-1)
        if broken.any():
            scene, point = broken.nonzero()[0].tolist()
            raise InputError(
                f"scene: expected finite {name}, got {values[scene, point].tolist()} at point {point} of scene {scene} "
                f"of the batch and {int(broken.sum()) - 1} more; leave such points out"
            )
