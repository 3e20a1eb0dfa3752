"""What a deployment's file says of a node that answers questions about a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from perception_nodes.operations.node_plan import NodePlan, expect_positive
from perception_nodes.ros.messages import (
    ASK_SCENE,
    ODOMETRY,
    POINT_CLOUD,
    SCENE_ANSWER,
    SCENE_QUESTION,
    service_of,
    topic_of,
)
from perception_nodes.ros.odometry import ODOMETRY_TOPIC
from perception_nodes.ros.wire import SENSOR_DATA, Topic


@dataclass(frozen=True)
class SceneQaPlan(NodePlan):
    """A node that answers questions about the scene around a robot, or about a scan.

    Attributes:
        scan: The scene, a file of coloured points (.ply, .pcd). Without it the scene is mapped from clouds.
        clouds: Topic of point clouds, in the map's frame or in the odometry's child frame.
        ego: Topic of the odometry.
        frame: Name of the map's frame.
        questions: Topic of the questions.
        answers: Topic of the answers.
        service: Service that answers questions too.
        voxel_m: Edge of the map's voxels in metres.
        max_age_s: Questions about a scene that is older, in seconds, are refused.
        max_lag_s: Questions are answered from the scene that is encoded while the newest one is at most this many
            seconds newer; otherwise they wait for the newest.
        min_confidence: Answers of a lower confidence are not given.
    """

    kind: ClassVar[str] = "scene-qa"

    timeout_ms: float = 1000.0
    tolerance_ms: float = 2000.0
    scan: Path | None = None
    clouds: str = "/sensing/lidar/concatenated/pointcloud"
    ego: str = ODOMETRY_TOPIC
    frame: str = "map"
    questions: str = "/scene_qa/questions"
    answers: str = "/scene_qa/answers"
    service: str = "/scene_qa/ask"
    voxel_m: float = 0.02
    max_age_s: float = math.inf
    max_lag_s: float = 2.0
    min_confidence: float = 0.0

    @property
    def inputs(self) -> tuple[Topic, ...]:
        """Questions; clouds and odometry too where the scene is mapped."""
        questions = topic_of(self.questions, SCENE_QUESTION)
        if self.scan is not None:
            return (questions,)
        return (questions, topic_of(self.clouds, POINT_CLOUD, SENSOR_DATA), topic_of(self.ego, ODOMETRY))

    @property
    def outputs(self) -> tuple[Topic, ...]:
        """Answers."""
        return (topic_of(self.answers, SCENE_ANSWER),)

    @property
    def services(self) -> tuple[Topic, ...]:
        """The service that is asked."""
        return (service_of(self.service, ASK_SCENE),)

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive("node", voxel_m=self.voxel_m, max_age_s=self.max_age_s)
