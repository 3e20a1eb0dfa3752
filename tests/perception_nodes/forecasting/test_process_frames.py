"""Objects in frames other than the map's, and stamps that are held to a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perception_nodes.forecasting.messages import odometry_of
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.cdr import read_predicted_objects
from perception_nodes.ros.clock import CLOCK_TOPIC
from perception_nodes.ros.messages import CLOCK, DETECTIONS, ODOMETRY, TF, header, make, serialize, topic_of
from perception_nodes.ros.tf import TF_STATIC_QOS, TF_STATIC_TOPIC
from perception_nodes.ros.wire import SENSOR_DATA

Running = Callable[..., Any]
Configured = Callable[..., ForecastingNode]
MakeTick = Callable[..., Tick]


def mounted(parent: str, child: str, x: float) -> bytes:
    """A sensor that is x metres before its parent's origin."""
    transform = make(
        "geometry_msgs/msg/Transform",
        translation=make("geometry_msgs/msg/Vector3", x=x, y=0.0, z=0.0),
        rotation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )
    stamped = make(
        "geometry_msgs/msg/TransformStamped", header=header(0, parent), child_frame_id=child, transform=transform
    )
    return serialize(make(TF, transforms=[stamped]), TF)


def test_objects_of_a_sensor_are_forecast_in_the_map(
    running: Running, configured: Configured, make_tick: MakeTick, detections_of_tick: Callable[..., Any]
) -> None:
    with running(configured(), objects_type=DETECTIONS) as (_, tracker):
        static = tracker.ros.publisher(topic_of(TF_STATIC_TOPIC, TF, TF_STATIC_QOS))
        tracker.meet(make_tick(0))
        tick = make_tick(1)
        seen = replace(tick, position=tick.position - [tick.city_SE2_ego.x_m + 1.5, 0.0])
        tracker.send(tick)  # the pose
        tracker.forecasts.get(timeout=60)
        tracker.objects.put(serialize(detections_of_tick(seen, frame_id="lidar"), DETECTIONS))
        state = tracker.state(lambda state: not state.valid and "lidar" in state.reason)
        assert state.reason.startswith("no transform from 'lidar' to 'map'")
        static.put(mounted("base_link", "lidar", 1.5))
        for step in range(2, 60):
            tick = make_tick(step)
            seen = replace(tick, position=tick.position - [tick.city_SE2_ego.x_m + 1.5, 0.0])
            tracker.ego.put(serialize(odometry_of(tick), ODOMETRY))
            tracker.objects.put(serialize(detections_of_tick(seen, frame_id="lidar"), DETECTIONS))
            if tracker.state_of(tick).valid:
                break
        forecast = read_predicted_objects(tracker.forecasts.get(timeout=60))
    assert (forecast.stamp_ns, forecast.frame_id) == (tick.stamp_ns, "map")
    np.testing.assert_allclose(forecast.poses[:, :2], tick.position, atol=1e-9)


def test_stamps_that_are_far_from_the_clock_are_refused_with_the_limit(
    running: Running, configured: Configured, make_tick: MakeTick
) -> None:
    with running(configured(), max_age_s=1.0, max_ahead_s=0.5) as (process, tracker):
        now_ns = time.time_ns()
        tracker.meet_state(make_tick(0))
        for after_s, words in ((-5.0, "s old, at most 1 s"), (20.0, "ahead of the clock, at most 0.5 s")):
            tick = make_tick(1, stamp_ns=now_ns + round(after_s * 1e9))
            tracker.send(tick)
            state = tracker.state_of(tick)
            assert (state.source, state.valid) == ("none", False)
            assert words in state.reason
        for step in range(2, 60):  # three poses until the localisation's clock counts as set
            tick = make_tick(step, stamp_ns=time.time_ns())
            tracker.send(tick)
            state = tracker.state_of(tick)
            if state.source == "model":
                break
            time.sleep(0.05)
        assert state.source == "model"
        stamps = process.registry.get_sample_value("perception_ticks_without_model_total", {"reason": "stamp"})
    assert (stamps or 0) >= 3


def test_a_log_is_played_with_the_time_of_its_clock(
    running: Running, configured: Configured, make_tick: MakeTick
) -> None:
    with running(configured(), max_age_s=1.0, max_ahead_s=0.5, use_sim_time=True) as (_, tracker):
        clock = tracker.ros.publisher(topic_of(CLOCK_TOPIC, CLOCK, SENSOR_DATA))
        state = tracker.meet_state(make_tick(0))
        assert state.reason == "no time on /clock yet, which use_sim_time asks for"
        for step in range(1, 60):
            tick = make_tick(step)
            sec, nanosec = divmod(tick.stamp_ns + 30_000_000, 10**9)
            clock.put(
                serialize(make(CLOCK, clock=make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)), CLOCK)
            )
            time.sleep(0.02)  # topics have no order among each other
            tracker.send(tick)
            state = tracker.state_of(tick)
            if state.source == "model":
                break
        assert state.source == "model"
        assert state.age_ms == pytest.approx(30.0)
