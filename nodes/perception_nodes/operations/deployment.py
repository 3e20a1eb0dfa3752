"""What runs on a robot, as one YAML file says it: a router, the shared block's workers, the nodes.

    router:
      listen: tcp/127.0.0.1:7447
    service:
      folder: folded/int8
      workers: 2
    nodes:
      forecast:
        checkpoint: runs/llama
        block: forecast-vectornet-llama
        metrics: 9464

Relative paths are relative to the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perception.errors import InputError
from perception_nodes.operations.configuration import read_yaml


@dataclass(frozen=True)
class RouterPlan:
    """Where the zenoh router listens, that all processes meet at."""

    listen: str = "tcp/127.0.0.1:7447"


@dataclass(frozen=True)
class ServicePlan:
    """The workers of the shared block.

    Attributes:
        folder: Of folded pipelines.
        pipelines: Names of those to serve; all of the folder where none is named.
        workers: Processes.
        threads: Of torch, in each.
    """

    folder: Path
    pipelines: tuple[str, ...] = ()
    workers: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        _expect_positive("service", workers=self.workers, threads=self.threads)


# Autoware's own names where it has some: its planners read the output there.
OBJECTS = "/perception/object_recognition/tracking/objects"
EGO = "/localization/kinematic_state"
MAP = "/map/polylines"
FORECASTS = "/perception/object_recognition/objects"
STATUS = "/perception/object_recognition/prediction/status"


@dataclass(frozen=True)
class ForecastPlan:
    """A forecasting node.

    Attributes:
        checkpoint: A run's folder.
        block: Name of the pipeline to ask the service for; the checkpoint's own block in the node's process without it.
        precision: Of the checkpoint's own block, as `perception.frozen.precision` says. With `block`, the service's
            folder has it.
        timeout_ms: Of a request to the service.
        tolerance_ms: A frame that takes longer is an excess; see `perception_nodes.operations.diagnostics`.
        domain: ROS_DOMAIN_ID.
        objects: Topic of the tracked objects.
        objects_type: Of its messages; `perception_nodes.ros.detections` says what is needed of detections.
        ego: Topic of the odometry.
        map: Topic of the latched map.
        forecasts: Topic of the predicted objects.
        status: Topic that says how each forecast came about.
        metrics: Port of /livez, /readyz and /metrics on loopback; none without it.
        threads: Of torch.
    """

    checkpoint: Path
    block: str | None = None
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32"
    timeout_ms: float = 80.0
    tolerance_ms: float = 100.0
    domain: int = 0
    objects: str = OBJECTS
    objects_type: Literal["autoware_perception_msgs/msg/TrackedObjects", "vision_msgs/msg/Detection3DArray"] = (
        "autoware_perception_msgs/msg/TrackedObjects"
    )
    ego: str = EGO
    map: str = MAP
    forecasts: str = FORECASTS
    status: str = STATUS
    metrics: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        _expect_positive("node", timeout_ms=self.timeout_ms, tolerance_ms=self.tolerance_ms, threads=self.threads)
        if self.block is not None and self.precision != "float32":
            raise InputError(
                f"node: expected either a block or a precision, got block {self.block} and precision {self.precision}; "
                "the service's folder has its precision, so remove yours"
            )


@dataclass(frozen=True)
class Deployment:
    """All processes of a robot.

    Attributes:
        nodes: Each by a name of its own.
    """

    router: RouterPlan = RouterPlan()
    service: ServicePlan | None = None
    nodes: Mapping[str, ForecastPlan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, node in self.nodes.items():
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
                raise InputError(f"node {name!r}: expected a ROS name of letters, digits and underscores; rename it")
            if node.block is not None and self.service is None:
                raise InputError(f"node {name}: asks for the block {node.block}, but there is no service; add one")
            served = self.service.pipelines if self.service else ()
            if node.block is not None and served and node.block not in served:
                raise InputError(
                    f"node {name}: asks for the block {node.block}, the service has {', '.join(served)}; name one"
                )


def read_deployment(path: Path) -> Deployment:
    """The deployment in a file.

    Raises:
        ConfigurationError: With the line of the mistake.
    """
    return read_yaml(path, Deployment)


def _expect_positive(owner: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise InputError(f"{owner}: expected {name} above 0, got {number}")
