import threading

import numpy as np
import pytest
import torch

from perception.scenes.sample import FIXED_SAMPLE_SEED, collate_scenes, sample_scene
from perception_nodes.scene_qa.encoding import SceneEncoder, encode_snapshot
from perception_nodes.scene_qa.scene_map import SceneSnapshot


def test_a_snapshot_is_encoded_as_its_scan_is_offline(scene_answerer, scan) -> None:
    offline = collate_scenes([sample_scene(scan, np.random.default_rng(FIXED_SAMPLE_SEED), count=150)])
    with torch.inference_mode():
        expected = scene_answerer.encode_scene(offline.points, offline.features)
    tokens = encode_snapshot(scene_answerer, SceneSnapshot.of_scene(scan, 0))
    torch.testing.assert_close(tokens.objects.values, expected.objects.values, rtol=0, atol=0)
    torch.testing.assert_close(tokens.detections.boxes, expected.detections.boxes, rtol=0, atol=0)


def test_who_asks_for_the_same_scene_meanwhile_gets_the_same_result(scan) -> None:
    go_on, seen = threading.Event(), []

    def encode(snapshot: SceneSnapshot) -> object:
        go_on.wait(60)
        seen.append(snapshot)
        return object()

    encoder = SceneEncoder(encode)  # pyright: ignore[reportArgumentType]
    one, two = SceneSnapshot.of_scene(scan, 0), SceneSnapshot.of_scene(scan, 0)
    waiting = [encoder.start(one) for _ in range(3)]
    go_on.set()
    assert len({id(future.result(60)) for future in waiting}) == 1
    assert encoder.start(one).result(60) is encoder.newest
    assert encoder.start(two).result(60) is encoder.newest
    assert seen == [one, two]
    encoder.close()


def test_what_failed_is_tried_again(scan) -> None:
    outcomes = iter([MemoryError("no room"), object()])

    def encode(_: SceneSnapshot) -> object:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    encoder = SceneEncoder(encode)  # pyright: ignore[reportArgumentType]
    snapshot = SceneSnapshot.of_scene(scan, 0)
    with pytest.raises(MemoryError, match="no room"):
        encoder.start(snapshot).result(60)
    assert encoder.newest is None
    assert encoder.start(snapshot).result(60) is encoder.newest
    encoder.close()
