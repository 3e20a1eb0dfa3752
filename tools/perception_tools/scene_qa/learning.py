"""How a scene answerer learns, under Lightning: its steps, its losses, its validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from perception.encoders.votenet import Detections, VoteNet
from perception.heads.answer import SceneAnswers
from perception.losses.answer import SceneAnswerLoss, scene_answer_loss
from perception.losses.detection import DetectionLoss, detection_loss
from perception.models.scene_answerer import SceneAnswerer, SceneTokens
from perception.scenes.sample import SceneBatch
from perception_tools.scene_qa.data import SceneQaBatch
from perception_tools.scene_qa.recipes import SceneQaRecipe
from perception_tools.training.lightning_task import LearningTask

DETECTION_PARTS = ("vote", "objectness", "box", "semantic", "seed_semantic")


class SceneQaTask(LearningTask[SceneQaRecipe, SceneAnswerer]):
    """A scene answerer and how it learns.

    Args:
        recipe: All numbers.
        model: The answerer.
        detector: Taken as it is, instead of one that learns.
    """

    # The detector's gradient is a hundred times as large: clipped together, next to nothing would be left of the rest.
    clipped_apart = ("detector",)

    def __init__(self, recipe: SceneQaRecipe, model: SceneAnswerer, detector: VoteNet | None = None) -> None:
        super().__init__(recipe, model)
        self.detector_is_taken = detector is not None
        if detector is not None:
            self.model.scene = detector.train().requires_grad_(False)

    @property
    def detector_learns(self) -> bool:
        """Whether boxes teach the detector."""
        return self.recipe.detection_loss and not self.recipe.blind and not self.detector_is_taken

    @property
    def never_answers(self) -> bool:
        """Whether nothing but the detector ever learns."""
        return self.detector_learns and self.recipe.detector_first >= 1

    @override
    def on_train_start(self) -> None:
        """A detector that is taken as it is goes on as in evaluation: its normalisation learns no more either."""
        if self.detector_is_taken and self.model.scene is not None:
            self.model.scene.eval()

    @override
    def parameter_groups(self) -> dict[str, Sequence[nn.Parameter]]:
        """The block, and the detector."""
        detector = {} if self.model.scene is None else {"detector": list(self.model.scene.parameters())}
        return super().parameter_groups() | detector

    @override
    def training_step(self, batch: SceneQaBatch, batch_idx: int) -> Float[Tensor, ""]:
        """Answers of all questions, and where it is wanted the detections of their scenes."""
        if self.only_detects and (found := self._detect(batch)) is not None:
            self._log_losses(found.total, {}, found)
            return found.total
        loss = self._loss(batch)
        self._log_losses(loss.total, {"answer": loss.answer, "viewpoint": loss.viewpoint}, loss.detection)
        return loss.total

    @property
    def only_detects(self) -> bool:
        """Whether this step is one of the first, in which only the detector learns."""
        if not self.detector_learns:
            return False
        return self.global_step < self.recipe.detector_first * self.trainer.estimated_stepping_batches

    def _log_losses(self, total: Tensor, parts: dict[str, Tensor | None], detection: DetectionLoss | None) -> None:
        if detection is not None:
            parts |= {name: getattr(detection, name) for name in DETECTION_PARTS}
        self.log_step({f"train/{name}": value for name, value in {"loss": total, **parts}.items() if value is not None})

    def _loss(self, batch: SceneQaBatch) -> SceneAnswerLoss:
        answers, seen = self._answer(batch)
        found = None
        if self.detector_learns and seen is not None and batch.scenes is not None:
            found = self._detection_loss(seen.detections, batch.scenes)
        return scene_answer_loss(answers, batch.targets, found)

    def _detect(self, batch: SceneQaBatch) -> DetectionLoss | None:
        """The detector's loss without any question; None where there is no scene to see or nothing that sees."""
        if self.model.scene is None or batch.scenes is None:
            return None
        return self._detection_loss(self.model.scene(batch.scenes.points, batch.scenes.features), batch.scenes)

    def _detection_loss(self, found: Detections, scenes: SceneBatch) -> DetectionLoss:
        return detection_loss(found, scenes, semantic_weight=self.recipe.class_weight)

    def _answer(self, batch: SceneQaBatch) -> tuple[SceneAnswers, SceneTokens | None]:
        seen = None if batch.scenes is None else self.model.encode_scene(batch.scenes.points, batch.scenes.features)
        return self.model.answer(seen, batch.situations, batch.questions, batch.scene_of_question), seen

    @override
    def validation_step(self, batch: SceneQaBatch, batch_idx: int) -> None:
        """EM@1 of the questions, those with an unknown answer counted as wrong; how far off the asker's place is.

        Of a detector that learns alone, its loss.
        """
        if self.never_answers and (found := self._detect(batch)) is not None:
            self.log("val/detection_loss", found.total, batch_size=1, sync_dist=True)
            self.log("detection_loss", found.total, prog_bar=True, logger=False, batch_size=1, sync_dist=True)
            return
        answers, seen = self._answer(batch)
        given = answers.logits[:, :-1].argmax(-1, keepdim=True)
        hits = batch.targets.scores.gather(1, given).squeeze(1) > 0
        # A float, since Lightning averages this weight over the processes in its own type.
        weight: Any = float(len(hits))
        numbers = {"val/em1": hits.float().mean()}
        if self.detector_learns and seen is not None and batch.scenes is not None:
            numbers["val/detection_loss"] = self._detection_loss(seen.detections, batch.scenes).total
        if answers.viewpoint is not None and batch.targets.located.any():
            off = (answers.viewpoint.position - batch.targets.positions)[:, :2].norm(dim=-1)
            numbers["val/position_error_m"] = off[batch.targets.located].mean()
        self.log_dict(numbers, batch_size=weight, sync_dist=True)
        self.log("em1", numbers["val/em1"], prog_bar=True, logger=False, batch_size=weight, sync_dist=True)
