from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from perception.geometry import SE3
from perception.scenes.sample import MEAN_COLOR
from perception.scenes.scene import Scene
from perception_nodes.failure_log import LINES, FailureLog
from perception_nodes.operations.diagnostics import Level
from perception_nodes.ros.transforms import IDENTITY
from perception_nodes.scene_qa.mapping import CloudMapper
from perception_nodes.scene_qa.plan import SceneQaPlan
from perception_nodes.scene_qa.scene_map import PosedCloud, SceneMap, SceneMapSettings

PLAN = SceneQaPlan(checkpoint=Path("unused"), voxel_m=0.1)
TURNED = SE3(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([1.0, 2.0, 3.0]))


class Mapper(CloudMapper):
    """A mapper that maps a cloud at once, and reads its metrics."""

    def __init__(self, plan: SceneQaPlan = PLAN) -> None:
        self.registry = CollectorRegistry()
        self.failures = FailureLog(logging.getLogger("mapping"))
        super().__init__(plan, self.registry, self.failures)

    def add(self, cdr: bytes) -> None:
        self.take_cloud(cdr)
        self.map_next(0)

    def clouds(self, arrival: str) -> float:
        return self.registry.get_sample_value("perception_scene_qa_clouds_total", {"arrival": arrival}) or 0.0


def test_clouds_of_the_map_and_of_a_moving_sensor_become_one_map(
    scan: Scene, cloud: Callable[..., bytes], odometry: Callable[[SE3, str, int], bytes]
) -> None:
    mapper, stamp_ns = Mapper(), time.time_ns()
    assert mapper.ready() == f"no scene yet: nothing came on {PLAN.clouds}"
    first, second = (scan.points[:200], scan.colors[:200]), scan.points[200:]
    in_sensor = TURNED.inverse().apply(second.astype(float)).astype(np.float32)
    mapper.add(cloud(*first, stamp_ns=stamp_ns))
    assert mapper.ready() == ""
    mapper.take_pose(odometry(TURNED, "lidar", stamp_ns + 5))
    mapper.add(cloud(in_sensor, None, "lidar", stamp_ns + 1))
    core = SceneMap(SceneMapSettings(voxel_m=0.1))
    core.add(PosedCloud(stamp_ns, IDENTITY, *first))
    mean = np.tile(np.rint(MEAN_COLOR).astype(np.uint8), (100, 1))
    core.add(PosedCloud(stamp_ns + 1, TURNED, in_sensor, mean))
    ours, expected = mapper.map.snapshot(), core.snapshot()
    assert ours is not None
    assert expected is not None
    assert ours.stamp_ns == expected.stamp_ns
    np.testing.assert_allclose(ours.points, expected.points, atol=1e-6)
    np.testing.assert_array_equal(ours.colors, expected.colors)
    assert (mapper.clouds("added"), mapper.ready()) == (2, "")
    voxels = mapper.registry.get_sample_value("perception_scene_qa_map_voxels")
    assert voxels == len(ours.points)


def test_a_cloud_between_two_poses_is_placed_between_them(
    cloud: Callable[..., bytes], odometry: Callable[[SE3, str, int], bytes]
) -> None:
    """At 20 m/s the nearest of poses at 10 Hz is up to 1 m off."""
    mapper, stamp_ns = Mapper(), time.time_ns()
    for number in range(2):
        at = SE3(np.eye(3), np.array([2.0 * number, 0.0, 0.0]))
        mapper.take_pose(odometry(at, "lidar", stamp_ns + number * 10**8))
    mapper.add(cloud(np.zeros((1, 3), np.float32), None, "lidar", stamp_ns + 4 * 10**7))
    scene = mapper.map.snapshot()
    assert scene is not None
    np.testing.assert_allclose(scene.points, [[0.8, 0.0, 0.0]], atol=1e-6)


def test_a_cloud_without_a_pose_is_left_out_and_named(
    scan: Scene, cloud: Callable[..., bytes], odometry: Callable[[SE3, str, int], bytes]
) -> None:
    mapper, stamp_ns = Mapper(), time.time_ns()
    mapper.take_pose(odometry(TURNED, "lidar", stamp_ns + 10**9))
    mapper.take_pose(odometry(TURNED, "camera", stamp_ns))
    mapper.add(cloud(scan.points, scan.colors, "lidar", stamp_ns))
    assert (mapper.clouds("no_pose"), len(mapper.map)) == (1, 0)
    assert mapper.ready() == (
        f"no scene yet: its frame is 'lidar'; expected 'map', or the child frame of an odometry on {PLAN.ego} "
        "within 0.1 s"
    )


def test_a_broken_cloud_is_logged_in_one_line_and_the_next_is_mapped(
    scan: Scene, cloud: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    mapper = Mapper()
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            mapper.add(b"\x00\x01\x00\x00rubbish")
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)] * LINES
    assert mapper.clouds("malformed") == mapper.failures.counts[PLAN.clouds] == 100
    assert "MalformedMessage" in mapper.ready()
    mapper.add(cloud(np.full((3, 3), np.nan), None))
    assert mapper.ready() == "no scene yet: no finite point within reach"
    mapper.add(cloud(scan.points, scan.colors))
    assert (mapper.clouds("empty"), mapper.clouds("added"), mapper.ready()) == (1, 1, "")


def test_an_old_map_is_not_ready_until_a_new_cloud_comes(scan: Scene, cloud: Callable[..., bytes]) -> None:
    mapper = Mapper(replace(PLAN, max_age_s=5))
    mapper.add(cloud(scan.points, scan.colors, stamp_ns=time.time_ns() - 60 * 10**9))
    assert mapper.ready().startswith("the scene is 6")
    mapper.add(cloud(scan.points, scan.colors))
    assert mapper.ready() == ""


def test_the_input_is_watched(scan: Scene, cloud: Callable[..., bytes]) -> None:
    mapper = Mapper()
    assert (mapper.status().level, mapper.status().message) == (Level.ERROR, "NotReceived")
    mapper.map_next(0)
    assert mapper.status().message == "NotReceived"
    mapper.add(cloud(scan.points, scan.colors))
    assert (mapper.status().name, mapper.status().message) == (f"scene question: {PLAN.clouds}", "OK")
    mapper.close()
    mapper.add(cloud(scan.points, scan.colors))
    assert mapper.clouds("added") == 1
