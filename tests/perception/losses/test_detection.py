"""Detection losses, compared with explicit sums and at their extremes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.encoders.votenet import Detections
from perception.losses.detection import detection_loss
from perception.scenes.sample import SceneBatch

MEAN_SIZES = torch.tensor([[1.0, 2.0, 1.0], [0.5, 0.5, 2.0], [1.0, 1.0, 1.0]])


def random_scenes(seed: int = 0) -> SceneBatch:
    """Two scenes of 12 points; three boxes and one."""
    rng = torch.Generator().manual_seed(seed)
    return SceneBatch(
        points=torch.randn(2, 12, 3, generator=rng),
        features=torch.zeros(2, 12, 1),
        votes=torch.randn(2, 12, 3, generator=rng),
        votes_valid=torch.rand(2, 12, generator=rng) < 0.6,
        boxes=torch.cat([torch.randn(2, 3, 3, generator=rng), 0.5 + torch.rand(2, 3, 3, generator=rng)], dim=-1),
        box_classes=torch.tensor([[0, 1, 2], [1, 0, 0]]),
        boxes_valid=torch.tensor([[True, True, True], [True, False, False]]),
    )


def random_detections(scenes: SceneBatch, seed: int = 1) -> Detections:
    """Four seeds and five proposals per scene: two near boxes, others anywhere."""
    rng = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=rng)

    index = torch.tensor([[0, 5, 7, 11], [3, 2, 1, 9]])
    seeds = scenes.points.gather(1, index[..., None].expand(-1, -1, 3))
    clusters = torch.cat([scenes.boxes[:, [0, 0], :3] + 0.1 * noise(2, 3), 2 * noise(3, 3)], dim=1)
    return Detections(
        seed_index=index,
        seeds=seeds,
        votes=seeds + noise(4, 3),
        clusters=clusters,
        features=noise(5, 8),
        objectness=noise(5, 2),
        centres=clusters + 0.1 * noise(5, 3),
        heading=noise(5, 2),
        size_scores=noise(5, 3),
        size_residuals=noise(5, 3, 3),
        class_scores=noise(5, 3),
        mean_sizes=MEAN_SIZES,
    )


def cross_entropy(logits: np.ndarray, label: int) -> float:
    return float(np.log(np.exp(logits).sum()) - logits[label])


def huber(error: np.ndarray) -> np.ndarray:
    return np.where(np.abs(error) <= 1, error**2 / 2, np.abs(error) - 0.5)


def written_out(found: Detections, scenes: SceneBatch) -> dict[str, float]:
    """Computes the losses proposal by proposal."""
    f = {name: value.double().numpy() for name, value in vars(found).items() if value is not None}
    parts: dict[str, list[float]] = {n: [] for n in "vote objectness to_box to_proposal size_etc semantic".split()}
    for scene in range(len(scenes.points)):
        boxes = scenes.boxes[scene, scenes.boxes_valid[scene]].double().numpy()
        classes = scenes.box_classes[scene, scenes.boxes_valid[scene]].numpy()
        for seed, point in enumerate(found.seed_index[scene].tolist()):
            if scenes.votes_valid[scene, point]:
                centre = scenes.points[scene, point].double().numpy() + scenes.votes[scene, point].double().numpy()
                parts["vote"].append(np.abs(f["votes"][scene, seed] - centre).sum())
        for proposal in range(f["clusters"].shape[1]):
            away = [np.linalg.norm(f["clusters"][scene, proposal] - box[:3]) for box in boxes]
            near, label = bool(away) and min(away) < 0.3, int(bool(away) and min(away) < 0.3)
            if near or not away or min(away) > 0.6:
                entropy = cross_entropy(f["objectness"][scene, proposal], label)
                parts["objectness"].append(entropy * (0.8 if near else 0.2))
            if near:
                box, kind = boxes[int(np.argmin(away))], int(classes[int(np.argmin(away))])
                to_boxes = ((f["centres"][scene, proposal] - boxes[:, :3]) ** 2).sum(1)
                parts["to_box"].append(to_boxes.min())
                parts["semantic"].append(cross_entropy(f["class_scores"][scene, proposal], kind))
                mean = MEAN_SIZES[kind].numpy()
                size = huber(f["size_residuals"][scene, proposal, kind] - (box[3:] - mean) / mean).mean()
                size_class = cross_entropy(f["size_scores"][scene, proposal], kind)
                parts["size_etc"].append(size + 0.1 * size_class + huber(f["heading"][scene, proposal, 1]))
        parts["to_proposal"] += [((f["centres"][scene] - box[:3]) ** 2).sum(1).min() for box in boxes]
    mean = {name: float(np.mean(values)) if values else 0.0 for name, values in parts.items()}
    box = mean["to_box"] + mean["to_proposal"] + mean["size_etc"]
    return {"vote": mean["vote"], "objectness": mean["objectness"], "box": box, "semantic": mean["semantic"]}


@pytest.mark.parametrize("seed", range(5))
def test_the_losses_equal_explicit_sums(seed: int) -> None:
    scenes = random_scenes(seed)
    found = random_detections(scenes, seed + 100)
    loss = detection_loss(found, scenes)
    expected = written_out(found, scenes)
    for name, value in expected.items():
        assert getattr(loss, name).item() == pytest.approx(value, rel=1e-4, abs=1e-6), name
        assert value > 0
    weighted = expected["vote"] + 0.5 * expected["objectness"] + expected["box"] + 0.1 * expected["semantic"]
    assert loss.total.item() == pytest.approx(weighted, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_seeds_are_trained_with_the_class_of_the_object_they_lie_on(seed: int) -> None:
    scenes = random_scenes(seed)
    owners = torch.randint(3, (2, 12), generator=torch.Generator().manual_seed(seed))
    owners[1] = 0  # its only box
    centres = scenes.boxes[..., :3].gather(1, owners[..., None].expand(-1, -1, 3))
    scenes = replace(scenes, votes=centres - scenes.points)
    found = replace(random_detections(scenes), seed_class_scores=torch.randn(2, 4, 3))
    assert found.seed_class_scores is not None
    expected = [
        cross_entropy(
            found.seed_class_scores[scene, seed].numpy(), int(scenes.box_classes[scene, owners[scene, point]])
        )
        for scene in range(2)
        for seed, point in enumerate(found.seed_index[scene].tolist())
        if scenes.votes_valid[scene, point]
    ]
    with_names, without = detection_loss(found, scenes), detection_loss(random_detections(scenes), scenes)
    assert with_names.seed_semantic is not None
    assert with_names.seed_semantic.item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert with_names.total.item() == pytest.approx(without.total.item() + 0.1 * np.mean(expected), rel=1e-5)
    assert without.seed_semantic is None


def test_exact_detections_have_no_loss() -> None:
    scenes = random_scenes()
    scenes = replace(scenes, boxes_valid=torch.ones(2, 3, dtype=torch.bool))
    found = random_detections(scenes)
    index = scenes.box_classes
    sure = 100 * torch.nn.functional.one_hot(index, 3).float()
    residuals = (scenes.boxes[..., 3:] / MEAN_SIZES[index] - 1).unsqueeze(2).expand(-1, -1, 3, -1)
    exact = replace(
        found,
        votes=found.seeds + scenes.votes.gather(1, found.seed_index[..., None].expand(-1, -1, 3)),
        clusters=scenes.boxes[..., :3],
        features=found.features[:, :3],
        centres=scenes.boxes[..., :3],
        objectness=torch.tensor([-100.0, 100.0]).expand(2, 3, 2),
        heading=torch.zeros(2, 3, 2),
        size_scores=sure,
        size_residuals=residuals,
        class_scores=sure,
    )
    assert detection_loss(exact, scenes).total.item() == pytest.approx(0, abs=1e-6)


def test_in_a_room_without_boxes_no_proposal_is_an_object() -> None:
    scenes = random_scenes()
    empty = replace(
        scenes,
        boxes=torch.zeros(2, 1, 6),
        box_classes=torch.zeros(2, 1, dtype=torch.long),
        boxes_valid=torch.zeros(2, 1, dtype=torch.bool),
        votes_valid=torch.zeros(2, 12, dtype=torch.bool),
    )
    found = random_detections(scenes)
    found = replace(found, clusters=found.clusters * 0, objectness=found.objectness.requires_grad_())
    loss = detection_loss(found, empty)
    assert (loss.vote.item(), loss.box.item(), loss.semantic.item()) == (0, 0, 0)
    loss.total.backward()
    gradient = found.objectness.grad
    assert gradient is not None
    assert (gradient[..., 0] < 0).all()
    assert (gradient[..., 1] > 0).all()


def test_padding_boxes_change_nothing() -> None:
    scenes = random_scenes()
    found = random_detections(scenes)
    more = replace(
        scenes,
        boxes=torch.cat([scenes.boxes, found.clusters.repeat(1, 1, 2)], dim=1),
        box_classes=torch.cat([scenes.box_classes, torch.ones(2, 5, dtype=torch.long)], dim=1),
        boxes_valid=torch.cat([scenes.boxes_valid, torch.zeros(2, 5, dtype=torch.bool)], dim=1),
    )
    assert vars(detection_loss(found, more)) == vars(detection_loss(found, scenes))


def test_the_semantic_weight_scales_the_class_losses() -> None:
    scenes = random_scenes()
    found = random_detections(scenes)
    usual, heavy = detection_loss(found, scenes), detection_loss(found, scenes, semantic_weight=1.0)
    assert (heavy.total - usual.total).item() == pytest.approx(0.9 * usual.semantic.item(), rel=1e-5)
