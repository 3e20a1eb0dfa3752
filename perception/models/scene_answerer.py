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
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from perception.clouds.grouping import take
from perception.encoders.pointnet2 import Sampled
from perception.encoders.text import LstmText, TextEncoder
from perception.encoders.votenet import Detections, VoteNet
from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.fusion.grounding import EncodedText, Grounding, SceneObjects
from perception.fusion.mcan import AttentionPool, SceneTextFusion
from perception.heads.answer import AnswerHead, SceneAnswers, ViewpointHead
from perception.kernels.precision import Precision
from perception.models.with_block import exchange_block, fold_block
from perception.scenes.motion import NO_MOTION, SceneMotion
from perception.scenes.sample import FIXED_SAMPLE_SEED, POINTS, SceneBatch, SceneSample, collate_scenes, sample_scene
from perception.scenes.scene import Scene
from perception.texts.vocabulary import TextBatch
from perception.tokens import Tokens


@dataclass(frozen=True)
class SceneTokens:
    """All that questions need of scenes, computed once for any number of questions.

    Attributes:
        objects: A token for every proposal that is an object; the others would be masked in all that follows.
        proposals: Index of each token's proposal.
        detections: All proposals.
        appearance: Appearance of the objects; None where the model is not grounded.
    """

    objects: Tokens
    proposals: Int[Tensor, "scenes objects"]
    detections: Detections
    appearance: Float[Tensor, "scenes objects features"] | None = None


@dataclass(frozen=True)
class SceneInput:
    """How scenes become what the detector reads.

    Attributes:
        points: Number of points sampled from a scan.
        legacy_color: Whether colours are normalised twice, as the published code does by mistake.
    """

    points: int = POINTS
    legacy_color: bool = False

    def prepare(
        self, scene: Scene, rng: np.random.Generator | None = None, motion: SceneMotion = NO_MOTION
    ) -> SceneSample:
        """Sampled points of a scene; without a generator the same points every time, in evaluation and in nodes."""
        rng = rng or np.random.default_rng(FIXED_SAMPLE_SEED)
        return sample_scene(scene, rng, count=self.points, motion=motion, legacy_color=self.legacy_color)


class SceneAnswerer(nn.Module):
    """Encoders, fusion, block and heads.

    Args:
        scene: Detects proposals in points; None answers blindly, from the texts alone.
        text: Encodes situations and questions.
        block: The frozen block between its two projections, or any of its controls, of width `dim`; None where there
            is no scene.
        answers: Number of answers.
        dim: Width of all tokens: 256 in SQA3D, 768 in Pang et al.
        heads: Number of heads of every attention; they divide `dim`.
        layers: Number of layers in every stack of the fusion.
        pooled_dim: Width of each pooled vector.
        dropout: Dropout in the fusion.
        with_situation: Whether situations are read; if not, each is the empty text. (SQA3D's `--wos` puts the
            unknown word for each word, which still shows how long the text is.)
        with_viewpoint: Whether the asker's viewpoint is estimated too, SQA3D's auxiliary task.
        grounded_names: Names of the detector's classes. With them objects are grounded in the texts
            (`perception.fusion.grounding`), which always estimates the asker's viewpoint. None, as in SQA3D and Pang et
            al., leaves that to the fusion.
        one_answer: Whether answers compete, see `SceneAnswers`.
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
        mentions_dim = 0 if self.grounding is None else dim
        self.answer_head = AnswerHead((2 if scene is None else 3) * pooled_dim + mentions_dim, dim, answers)
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

    def prepare(
        self, scene: Scene, rng: np.random.Generator | None = None, motion: SceneMotion = NO_MOTION
    ) -> SceneSample:
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
        self,
        points: Float[Tensor, "scenes points 3"],
        features: Float[Tensor, "scenes points features"],
        sampled: Sampled | None = None,
    ) -> SceneTokens:
        """What questions need of scenes.

        Args:
            points: Scene frame, metres.
            features: Colours and heights, see `perception.scenes.sample.SceneBatch`.
            sampled: From the detector's backbone, where it is known already.

        Raises:
            InputError: There is no point, or one is not finite.
        """
        if self.scene is None or self.objects_in is None:
            raise ValueError("SceneAnswerer: expected a model that sees scenes, got one that answers blindly")
        if not torch.compiler.is_exporting():
            _check_points(points, features)
        found = self.scene(points, features, sampled)
        proposals = _objects_first(found.valid)
        values = self.objects_in(take(found.features, proposals))
        appearance = None
        if self.grounding is not None:
            appearance = take(self.grounding.appearance(found, features), proposals)
            values = values + self.grounding.look_in(appearance)
        return SceneTokens(Tokens(values, found.valid.gather(1, proposals)), proposals, found, appearance)

    def answer(
        self,
        scenes: SceneTokens | None,
        situation: TextBatch,
        question: TextBatch,
        scene_of_question: Int[Tensor, " questions"] | None = None,
    ) -> SceneAnswers:
        """Answers to questions about scenes that are encoded.

        Args:
            scenes: From `encode_scene`; not read by a model that answers blindly.
            situation: Situations of the askers, from `text.batch`.
            question: One question per situation.
            scene_of_question: Index of the scene that each question is about. By default all are about the only scene,
                or each is about the scene of the same index.
        """
        if not self.with_situation:
            situation = self._empty_texts(question)
        situation_tokens, question_tokens = self.fusion.read(self._read(situation), self._read(question))
        pooled_situation, _ = self.pool_situation(situation_tokens)
        pooled_question, _ = self.pool_question(question_tokens)
        if self.block is None or self.pool_objects is None:
            logits = self.answer_head(torch.cat([pooled_situation, pooled_question], dim=-1))
            return SceneAnswers(logits, None, None, self.one_answer)
        assert scenes is not None
        scene = _scene_of_question(
            scenes.proposals.shape[0], question.ids.shape[0], scene_of_question, question.ids.device
        )
        objects = Tokens(scenes.objects.values[scene], scenes.objects.valid[scene])
        viewpoint, prior, mentions = None, None, []
        if self.grounding is None:
            objects = self.fusion.guide(objects, situation_tokens, question_tokens)
        else:
            assert isinstance(self.text, LstmText)
            words = self.text.words
            grounded = self.grounding(
                self.fusion,
                words,
                _with_detections(objects, scenes, scene),
                EncodedText(words(situation.ids), situation_tokens, pooled_situation),
                EncodedText(words(question.ids), question_tokens, pooled_question),
            )
            objects, viewpoint, prior = grounded.objects, grounded.viewpoint, grounded.prior
            mentions = [grounded.mentions]
        pooled_objects, weights = self.pool_objects(objects.replace(self.block(objects)), prior)
        evidence = weights.new_zeros(scene.shape[0], scenes.detections.valid.shape[1])
        evidence = evidence.scatter(1, scenes.proposals[scene], weights)
        logits = self.answer_head(torch.cat([pooled_situation, pooled_question, pooled_objects, *mentions], dim=-1))
        if self.viewpoint_head is not None:
            viewpoint = self.viewpoint_head(torch.cat([pooled_situation, pooled_objects], dim=-1))
        return SceneAnswers(logits, evidence, viewpoint, self.one_answer)

    def _empty_texts(self, texts: TextBatch) -> TextBatch:
        """An empty text for each of some texts."""
        empty = self.text.batch([""])
        count = texts.ids.shape[0]
        return TextBatch(empty.ids.expand(count, -1), empty.valid.expand(count, -1))

    def _read(self, texts: TextBatch) -> Tokens:
        read = self.text(texts)
        return read.replace(self.text_in(read.values))


def _objects_first(valid: Bool[Tensor, "scenes proposals"]) -> Int[Tensor, "scenes objects"]:
    """Indices of proposals that are objects, padded by some that are not; of all proposals in an exported graph.

    How many objects there are is known only when they are counted. What follows does not read the others.
    """
    if torch.compiler.is_exporting():
        return torch.arange(valid.shape[1], device=valid.device).expand_as(valid)
    return valid.int().argsort(dim=1, descending=True, stable=True)[:, : valid.sum(1).max()]


def _with_detections(objects: Tokens, scenes: SceneTokens, scene: Int[Tensor, " questions"]) -> SceneObjects:
    """Objects of each question's scene, with their detections."""
    found = scenes.detections
    boxes, classes = (take(v.detach(), scenes.proposals)[scene] for v in (found.boxes, found.class_scores))
    assert scenes.appearance is not None
    return SceneObjects(objects, boxes, classes.softmax(-1), scenes.appearance[scene])


def _scene_of_question(
    scenes: int | torch.SymInt,
    questions: int | torch.SymInt,
    given: Int[Tensor, " questions"] | None,
    device: torch.device,
) -> Int[Tensor, " questions"]:
    """Index of the scene that each question is about."""
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
