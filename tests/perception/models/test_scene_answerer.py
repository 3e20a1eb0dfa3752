"""The model of scene question answering as a whole: the same answers however scenes and questions are put."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from perception.encoders.pointnet2 import Level
from perception.encoders.text import LstmText
from perception.encoders.votenet import VoteNet
from perception.errors import InputError
from perception.frozen.adapter import Kind, build_adapter
from perception.frozen.trained_state import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.heads.answer import SceneAnswers
from perception.losses.answer import AnswerTargets, scene_answer_loss
from perception.losses.detection import detection_loss
from perception.models.scene_answerer import SceneAnswerer, SceneTokens
from perception.scenes.sample import SceneBatch
from perception.texts.vocabulary import Vocabulary
from perception.tokens import Tokens

LEVELS = (Level(32, 0.5, 8, (6, 8)), Level(16, 0.8, 8, (8, 10)), Level(8, 1.2, 4, (10, 12)))
SITUATIONS = ["I face the bed .", "I sit on a red chair , the door is behind me .", "", "I stand ."]
QUESTIONS = ["what is left ?", "is it red ?", "how many chairs can I see ?", "zebra ?"]


def tiny(kind: Kind = "language", *, blind: bool = False, **options) -> SceneAnswerer:
    torch.manual_seed(0)
    vocabulary = Vocabulary.of_texts(
        ["I face the bed . I sit on a red chair what is left ? is it red how many can I see"]
    )
    scene = VoteNet(2, torch.ones(3, 3), levels=LEVELS, seed_dim=12, proposals=6, dim=8, neighbours=4)
    text = LstmText(vocabulary, dim=12, word_dim=6)
    block = build_adapter(16, kind=kind, source="random:32x48x4?seed=0", init="default")
    sizes = {"answers": 5, "dim": 16, "heads": 2, "pooled_dim": 10}
    return SceneAnswerer(None if blind else scene, text, None if blind else block, **sizes, **options).eval()


@pytest.fixture
def scenes() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.rand(4, 150, 3, generator=generator), torch.randn(4, 150, 2, generator=generator)


def that_sees_some_objects(scenes) -> SceneAnswerer:
    """A tiny model to which half of the proposals are objects."""
    model = tiny()
    assert model.scene is not None
    out = model.scene.propose[-1]
    assert isinstance(out, nn.Linear)
    with torch.no_grad():
        no_object, is_object = model.scene(*scenes).objectness.unbind(-1)
        out.bias[0] += (is_object - no_object).median()
    valid = model.encode_scene(*scenes).detections.valid
    assert 0.3 < valid.float().mean() < 0.7
    return model


def ask(model: SceneAnswerer, seen: SceneTokens | None, rows: slice = slice(None), **options) -> SceneAnswers:
    return model.answer(seen, model.text.batch(SITUATIONS[rows]), model.text.batch(QUESTIONS[rows]), **options)


def row_of(seen: SceneTokens, row: int) -> SceneTokens:
    """One scene of several that were encoded together."""
    names = [name for name in vars(seen.detections) if name not in ("mean_sizes", "seed_class_scores")]
    found = replace(seen.detections, **{name: getattr(seen.detections, name)[row : row + 1] for name in names})
    objects = Tokens(seen.objects.values[row : row + 1], seen.objects.valid[row : row + 1])
    return SceneTokens(objects, seen.proposals[row : row + 1], found)


def assert_same(left: SceneAnswers, right: SceneAnswers) -> None:
    for name, ours, theirs in (
        ("logits", left.logits, right.logits),
        ("evidence", left.evidence, right.evidence),
        ("viewpoint", left.viewpoint and left.viewpoint.rotation, right.viewpoint and right.viewpoint.rotation),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)


def test_questions_asked_together_are_answered_as_one_by_one(scenes) -> None:
    model = that_sees_some_objects(scenes)
    together, seen = model(*scenes, model.text.batch(SITUATIONS), model.text.batch(QUESTIONS))
    assert seen is not None
    for row in range(4):
        one = slice(row, row + 1)
        alone = ask(model, model.encode_scene(scenes[0][one], scenes[1][one]), one)
        assert_same(alone, SceneAnswers(*_rows(together, one)))


def _rows(answers: SceneAnswers, rows: slice):
    assert answers.evidence is not None
    assert answers.viewpoint is not None
    viewpoint = replace(
        answers.viewpoint, position=answers.viewpoint.position[rows], quaternion=answers.viewpoint.quaternion[rows]
    )
    return answers.logits[rows], answers.evidence[rows], viewpoint


def test_a_scene_is_encoded_once_for_all_its_questions(scenes) -> None:
    model = that_sees_some_objects(scenes)
    seen = model.encode_scene(*scenes)
    chosen = torch.tensor([2, 0, 2, 2])
    mixed = ask(model, seen, scene_of_question=chosen)
    for row in range(4):
        one = slice(row, row + 1)
        assert_same(ask(model, row_of(seen, int(chosen[row])), one), SceneAnswers(*_rows(mixed, one)))
    assert_same(ask(model, row_of(seen, 1)), ask(model, seen, scene_of_question=torch.tensor([1, 1, 1, 1])))
    with pytest.raises(ValueError, match="one for each of 2 questions, got 4"):
        ask(model, seen, slice(0, 2))


def test_evidence_is_the_weight_of_proposals_that_are_objects(scenes) -> None:
    model = that_sees_some_objects(scenes)
    seen = model.encode_scene(*scenes)
    valid = seen.detections.valid
    evidence = ask(model, seen).evidence
    assert evidence is not None
    torch.testing.assert_close(evidence.sum(1), torch.ones(4))
    assert torch.equal(evidence > 0, valid)


def test_proposals_that_are_masked_or_left_out_are_the_same(scenes) -> None:
    model = that_sees_some_objects(scenes)
    seen = model.encode_scene(*scenes)
    assert model.objects_in is not None
    everything = Tokens(model.objects_in(seen.detections.features), seen.detections.valid)
    masked = SceneTokens(everything, torch.arange(6).expand(4, -1), seen.detections)
    assert_same(ask(model, masked), ask(model, seen))


def test_the_order_of_proposals_does_not_matter(scenes) -> None:
    model = that_sees_some_objects(scenes)
    seen = model.encode_scene(*scenes)
    order = torch.randperm(seen.proposals.shape[1])
    objects = Tokens(seen.objects.values[:, order], seen.objects.valid[:, order])
    assert_same(ask(model, SceneTokens(objects, seen.proposals[:, order], seen.detections)), ask(model, seen))


def test_a_scene_in_which_nothing_is_an_object_is_answered_from_all_proposals(scenes) -> None:
    model = tiny()
    assert model.scene is not None
    out = model.scene.propose[-1]
    assert isinstance(out, nn.Linear)
    with torch.no_grad():
        out.bias[0] += 100
    answers = ask(model, model.encode_scene(*scenes))
    assert answers.logits.isfinite().all()
    assert answers.evidence is not None
    assert (answers.evidence > 0).all()


def test_a_blind_model_sees_no_scene(scenes) -> None:
    model = tiny(blind=True)
    answers, seen = model(*scenes, model.text.batch(SITUATIONS), model.text.batch(QUESTIONS))
    assert (seen, answers.evidence, answers.viewpoint) == (None, None, None)
    assert torch.equal(answers.logits, ask(model, None).logits)
    assert answers.logits.shape == (4, 5)
    with pytest.raises(ValueError, match="answers blindly"):
        model.encode_scene(*scenes)


def test_a_model_without_situations_does_not_read_them(scenes) -> None:
    model, usual = tiny(with_situation=False), tiny()
    seen = model.encode_scene(*scenes)
    question = model.text.batch(QUESTIONS)
    one, other = (model.answer(seen, model.text.batch(s), question) for s in (SITUATIONS, SITUATIONS[::-1]))
    assert_same(one, other)
    one, other = (usual.answer(seen, usual.text.batch(s), question) for s in (SITUATIONS, SITUATIONS[::-1]))
    assert (one.logits - other.logits).abs().max() > 1e-4


def test_points_that_are_not_numbers_are_named(scenes) -> None:
    points, features = scenes
    broken = points.clone()
    broken[2, 7, 1] = torch.nan
    broken[3, 0] = torch.inf
    with pytest.raises(
        InputError, match=r"finite points, got \[.*nan.*\] at point 7 of scene 2 of the batch and 1 more"
    ):
        tiny().encode_scene(broken, features)
    with pytest.raises(InputError, match="finite features"):
        tiny().encode_scene(points, features / 0)
    with pytest.raises(InputError, match="expected points, got none"):
        tiny().encode_scene(points[:, :0], features[:, :0])


def test_a_block_without_a_scene_is_refused() -> None:
    model = tiny()
    with pytest.raises(ValueError, match="exactly where there is a scene"):
        SceneAnswerer(None, model.text, model.block, 5)


def targets_of(points: torch.Tensor, features: torch.Tensor) -> tuple[SceneBatch, AnswerTargets]:
    """Every scene holds one box around all its points; each question has another answer."""
    count = len(points)
    centre = points.mean(1, keepdim=True)
    boxes = torch.cat([centre, torch.full_like(centre, 2.0)], dim=-1)
    everything = torch.ones(points.shape[:2], dtype=torch.bool)
    kinds = torch.ones(count, 1, dtype=torch.long)
    batch = SceneBatch(points, features, centre - points, everything, boxes, kinds, torch.ones(count, 1).bool())
    rotations = torch.tensor([0.0, 0, 0, 1]).expand(4, 4)
    return batch, AnswerTargets(torch.eye(5)[:4], torch.ones(4, 3), rotations, torch.ones(4).bool())


@pytest.mark.parametrize("kind", get_args(Kind))
def test_gradients_are_finite_and_reach_every_trained_parameter(scenes, kind: Kind) -> None:
    model = tiny(kind).train()
    assert model.scene is not None
    batch, targets = targets_of(*scenes)
    with torch.no_grad():  # votes that already meet, so that there are objects whose boxes are learned
        batch = replace(batch, boxes=torch.cat([model.scene(*scenes).clusters[:, :1], batch.boxes[..., 3:]], dim=-1))
    answers, seen = model(*scenes, model.text.batch(SITUATIONS), model.text.batch(QUESTIONS))
    assert seen is not None
    scene_answer_loss(answers, targets, detection_loss(seen.detections, batch)).total.backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, grad in trained.items() if grad is None or not grad.any()] == []
    assert [name for name, grad in trained.items() if grad is not None and not grad.isfinite().all()] == []
    assert model.block is not None
    assert all(p.grad is None for p in model.block.blocks.parameters() if not p.requires_grad)


def test_a_few_questions_are_learned_by_heart(scenes) -> None:
    model = tiny("none", dropout=0.0, layers=1).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    points, features = scenes[0][:1, :60], scenes[1][:1, :60]
    batch, targets = targets_of(points, features)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    losses = []
    for _ in range(80):
        answers, seen = model(points, features, model.text.batch(SITUATIONS), model.text.batch(QUESTIONS))
        assert seen is not None
        loss = scene_answer_loss(answers, targets, detection_loss(seen.detections, batch))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append((loss.answer.item(), loss.total.item()))
    assert losses[-1][0] < 0.1 < 1.0 < losses[0][0]
    assert losses[-1][1] < 0.5 * losses[0][1]
    assert answers.logits.argmax(1).tolist() == [0, 1, 2, 3]


def test_half_precision_trains_with_finite_gradients(scenes) -> None:
    model = tiny().train()
    batch, targets = targets_of(*scenes)
    with torch.autocast("cpu", torch.bfloat16):
        answers, seen = model(*scenes, model.text.batch(SITUATIONS), model.text.batch(QUESTIONS))
        assert seen is not None
        loss = scene_answer_loss(answers, targets, detection_loss(seen.detections, batch))
    loss.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_a_checkpoint_holds_all_but_the_frozen_block(scenes) -> None:
    model, other = that_sees_some_objects(scenes), tiny()
    assert model.scene is not None
    model.scene.mean_sizes += 1
    load_trainable_state_dict(other, trainable_state_dict(model), fingerprints(model))
    assert other.scene is not None
    assert torch.equal(other.scene.mean_sizes, model.scene.mean_sizes)
    assert_same(ask(other, other.encode_scene(*scenes)), ask(model, model.encode_scene(*scenes)))
    assert not any(name.startswith("block.blocks.") for name in trainable_state_dict(model))


def test_a_grounded_model_answers_alike_wherever_the_scan_lies(scenes) -> None:
    model = tiny(grounded_names=("bed", "red chair", "others"))
    points, features = scenes
    shift = torch.tensor([16.0, -8.0, 0.0])
    here, there = (
        ask(model, model.encode_scene(points, features)),
        ask(model, model.encode_scene(points + shift, features)),
    )
    torch.testing.assert_close(here.logits, there.logits, atol=1e-3, rtol=1e-3)
    assert here.viewpoint is not None
    assert there.viewpoint is not None
    torch.testing.assert_close(here.viewpoint.position + shift, there.viewpoint.position, atol=1e-3, rtol=1e-3)


def test_a_grounded_model_trains_through_its_names_places_and_looks(scenes) -> None:
    model = tiny(grounded_names=("bed", "red chair", "others")).train()
    answers = ask(model, model.encode_scene(*scenes))
    assert answers.viewpoint is not None
    (answers.logits.sum() + answers.viewpoint.position.sum()).backward()
    assert model.grounding is not None
    silent = {name for name, p in model.grounding.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent <= {"viewpoint.score.2.bias"}  # it shifts all scores alike: its gradient is 0 but for rounding
