from __future__ import annotations

import mmap
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from perception.encoders.vectornet.network import VectorNet
from perception.frozen.adapter import build_adapter
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.traffic.resampling import NS_PER_STEP
from perception_tools.forecasting.bench import node_timing
from perception_tools.forecasting.bench.node_timing import (
    PARTS,
    active_node,
    endless,
    endure,
    synthetic_drive,
    time_frames,
    transport_ms,
)


@pytest.fixture(scope="module")
def model() -> Forecaster:
    torch.manual_seed(0)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view="scene")
    block = build_adapter(16, source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=10)).eval()


def test_the_parts_of_a_frame_are_all_of_it(model: Forecaster) -> None:
    drive = synthetic_drive(frames=4)
    times = time_frames(active_node(model, drive, history_steps=3), model, drive.frames)
    assert times.parts_ms.shape == (4, len(PARTS))
    assert (times.parts_ms > 0).all()
    assert (times.parts_ms.sum(axis=1) <= times.cpu_ms).all()
    assert np.max(times.parts_ms.sum(axis=1) / times.cpu_ms) > 0.9  # in the frame that was disturbed least
    assert times.agents.tolist() == [node_timing.SYNTHETIC_AGENTS] * 4


def test_a_model_is_left_as_it_was(model: Forecaster) -> None:
    drive = synthetic_drive(frames=2)
    time_frames(active_node(model, drive, history_steps=3), model, drive.frames)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_frame_that_is_not_answered_has_no_parts(model: Forecaster) -> None:
    drive = synthetic_drive(frames=2)
    times = time_frames(active_node(model, drive, history_steps=3), model, [*drive.frames, drive.frames[1]])
    assert (times.agents[-1], times.parts_ms[-1].sum()) == (0, 0)


def test_an_endless_stream_goes_on_with_other_agents() -> None:
    frames = synthetic_drive(frames=3).frames
    stream = list(islice(endless(frames), 7))
    assert {b.stamp_ns - a.stamp_ns for a, b in pairwise(stream)} == {NS_PER_STEP}
    assert set(stream[0].ids).isdisjoint(stream[3].ids)
    np.testing.assert_array_equal(stream[5].position, frames[2].position)


def test_growth_is_seen_as_a_slope(model: Forecaster, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = synthetic_drive(frames=5)
    sizes = iter(range(1000))
    monkeypatch.setattr(node_timing, "resident_mb", lambda: 100.0 + next(sizes))
    grown = endure(active_node(model, drive, history_steps=3), drive.frames, minutes=40 / 600)
    assert (grown.frames, len(grown.rss_mb)) == (40, 10)
    assert grown.slope_mb_per_minute == pytest.approx(600 / 4)  # a megabyte every four frames


def test_resident_memory_follows_what_is_held() -> None:
    before = node_timing.resident_mb()
    with mmap.mmap(-1, 64_000_000) as held:  # new memory, not what a free list had left
        held.write(bytes(len(held)))
        assert node_timing.resident_mb() - before == pytest.approx(64, abs=16)
    assert node_timing.resident_mb() - before == pytest.approx(0, abs=16)


def test_transport_is_timed_on_real_messages(model: Forecaster) -> None:
    drive = synthetic_drive(frames=1)
    node = active_node(model, drive, history_steps=3)
    told = transport_ms(drive.frames[0], node.step(drive.frames[0]), repeat=3)
    assert told["decode"] > 0 < told["encode"]
    assert told["bytes_out"] > 3 * 10 * 56 * node_timing.SYNTHETIC_AGENTS  # modes, steps, bytes of a pose
