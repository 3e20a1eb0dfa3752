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
    scene_qa:
      answerer:
        checkpoint: runs/rooms

    foxglove:
      port: 8765

Relative paths are relative to the file. Across hosts, or where not everybody on the robot is trusted, `security` gives
each process a certificate, and the router lets each do what its part of this file needs and nothing else:

    router:
      listen: tls/0.0.0.0:7447
    nodes:
      forecast:
        checkpoint: runs/llama
    security:
      certificates: certificates   # perception certificates deployment.yaml makes them
      others:
        tracker:
          publishes: [/perception/object_recognition/tracking/objects, /localization/kinematic_state, /map/polylines]
        planner:
          subscribes: [/perception/object_recognition/objects]
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from perception.errors import InputError
from perception_nodes.operations.configuration import read_yaml
from perception_nodes.operations.listening import expect_guarded, reachable
from perception_nodes.ros.wire import expect_name

if TYPE_CHECKING:
    from perception_nodes.operations.identity import Identity


@dataclass(frozen=True)
class RouterPlan:
    """The zenoh router that all processes meet at.

    Attributes:
        listen: Where; tls/HOST:PORT where there is `security`.
        allow_unencrypted: Listen beyond loopback without security, where anybody may join.
    """

    listen: str = "tcp/127.0.0.1:7447"
    allow_unencrypted: bool = False

    @property
    def place(self) -> str:
        """Where processes of the same host find it."""
        return reachable(self.listen)


@dataclass(frozen=True)
class OtherPlan:
    """A process that is not ours, such as a tracker: what it may do on the network, by names of topics.

    Attributes:
        domain: ROS_DOMAIN_ID.
        publishes: Topics.
        subscribes: Topics.
        asks: Services.
    """

    domain: int = 0
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*self.publishes, *self.subscribes, *self.asks):
            expect_name(name)


@dataclass(frozen=True)
class SecurityPlan:
    """Certificates for everybody, and rights for nobody but those that need them.

    Attributes:
        certificates: Folder of ca.pem, and of NAME.pem and NAME.key of each process: router, block0, block1, …, and
            the nodes and others by their names. `perception certificates` makes what is missing.
        others: Each by a name of its own.
    """

    certificates: Path
    others: Mapping[str, OtherPlan] = field(default_factory=dict)


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

    @property
    def names(self) -> list[str]:
        """Of the processes."""
        return [f"block{number}" for number in range(self.workers)]


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
        precision: Of the checkpoint's own block, as `perception.kernels.precision` says. With `block`, the service's
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

    @property
    def inputs(self) -> tuple[str, ...]:
        """Topics that it reads."""
        return (self.objects, self.ego, self.map)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Topics that it writes, without the diagnostics."""
        return (self.forecasts, self.status)

    def __post_init__(self) -> None:
        _expect_positive("node", timeout_ms=self.timeout_ms, tolerance_ms=self.tolerance_ms, threads=self.threads)
        if self.block is not None and self.precision != "float32":
            raise InputError(
                f"node: expected either a block or a precision, got block {self.block} and precision {self.precision}; "
                "the service's folder has its precision, so remove yours"
            )


@dataclass(frozen=True)
class SceneQaPlan:
    """A node that answers questions about the scene around it.

    Attributes:
        checkpoint: A run's folder.
        scan: The scene, as a file of coloured points; without one it is mapped from clouds.
        precision: Of the block's weights, in the node's own process.
        block: Name of the pipeline to ask the service for; the checkpoint's own block in the node's process without it.
        timeout_ms: Of a request to the service.
        tolerance_ms: An answer that takes longer is an excess; see `perception_nodes.operations.diagnostics`.
        domain: ROS_DOMAIN_ID.
        clouds: Topic of point clouds, in the map's frame or in that of the odometry's child.
        ego: Topic of the odometry.
        frame: Name of the map's frame.
        questions: Topic of the questions.
        answers: Topic of the answers.
        service: Which answers questions too.
        voxel_m: Edge of the map's voxels, as `perception_nodes.scene_qa.scene_map` says.
        max_age_s: As `perception_nodes.scene_qa.node.SceneQaSettings` says, and so are the next two.
        max_lag_s: See there.
        min_confidence: See there.
        metrics: Port of /livez, /readyz and /metrics on loopback; none without it.
        threads: Of torch.
    """

    checkpoint: Path
    scan: Path | None = None
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32"
    block: str | None = None
    timeout_ms: float = 1000.0
    tolerance_ms: float = 2000.0
    domain: int = 0
    clouds: str = "/sensing/lidar/concatenated/pointcloud"
    ego: str = EGO
    frame: str = "map"
    questions: str = "/scene_qa/questions"
    answers: str = "/scene_qa/answers"
    service: str = "/scene_qa/ask"
    voxel_m: float = 0.02
    max_age_s: float = math.inf
    max_lag_s: float = 2.0
    min_confidence: float = 0.0
    metrics: int | None = None
    threads: int = 1

    @property
    def inputs(self) -> tuple[str, ...]:
        """Topics that it reads."""
        return (self.questions, *(() if self.scan else (self.clouds, self.ego)))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Topics that it writes, without the diagnostics."""
        return (self.answers,)

    def __post_init__(self) -> None:
        _expect_positive("node", timeout_ms=self.timeout_ms, tolerance_ms=self.tolerance_ms, threads=self.threads)
        _expect_positive("node", voxel_m=self.voxel_m, max_age_s=self.max_age_s)


@dataclass(frozen=True)
class FoxglovePlan:
    """A process that shows the nodes' topics to Foxglove's app, live; on loopback, as the app may see everything.

    Attributes:
        port: Of the WebSocket; 0 chooses a free one, which the process's first line says.
        domain: ROS_DOMAIN_ID, of the nodes that are shown.
        metrics: Port of /livez, /readyz and /metrics on loopback; none without it.
    """

    port: int = 8765
    domain: int = 0
    metrics: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise InputError(f"foxglove: expected a port from 0 to 65535, got {self.port}")


ROUTER, FOXGLOVE = "router", "foxglove"


@dataclass(frozen=True)
class Deployment:
    """All processes of a robot.

    Attributes:
        nodes: Forecasting nodes, each by a name of its own.
        scene_qa: Nodes that answer questions, each by a name of its own.
        foxglove: Without it, nothing is shown.
        security: Without it, everything stays on loopback.
    """

    router: RouterPlan = RouterPlan()
    service: ServicePlan | None = None
    nodes: Mapping[str, ForecastPlan] = field(default_factory=dict)
    scene_qa: Mapping[str, SceneQaPlan] = field(default_factory=dict)
    foxglove: FoxglovePlan | None = None
    security: SecurityPlan | None = None

    def __post_init__(self) -> None:
        for name, node in (*self.nodes.items(), *self.scene_qa.items()):
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
                raise InputError(f"node {name!r}: expected a ROS name of letters, digits and underscores; rename it")
            self._check_block(name, node.block)
        self._check_security()

    def nodes_of(self, kind: str) -> Mapping[str, Any]:
        """Plans of the nodes of a kind, by name."""
        return {"forecast": self.nodes, "scene-qa": self.scene_qa}[kind]

    @property
    def own_names(self) -> list[str]:
        """Of our processes, as their certificates have them; the router first."""
        shows = [FOXGLOVE] if self.foxglove else []
        return [ROUTER, *(self.service.names if self.service else ()), *self.nodes, *self.scene_qa, *shows]

    @property
    def names(self) -> list[str]:
        """Of all processes."""
        return [*self.own_names, *(self.security.others if self.security else ())]

    def identity_of(self, name: str) -> Identity | None:
        """The papers of a process; None where there is no security.

        Raises:
            InputError: They will not do.
        """
        if self.security is None:
            return None
        from perception_nodes.operations.identity import identity_in

        return identity_in(self.security.certificates, name)

    def _check_block(self, name: str, block: str | None) -> None:
        if block is None:
            return
        if self.service is None:
            raise InputError(f"node {name}: asks for the block {block}, but there is no service; add one")
        served = self.service.pipelines
        if served and block not in served:
            raise InputError(f"node {name}: asks for the block {block}, the service has {', '.join(served)}; name one")

    def _check_security(self) -> None:
        if self.security is None:
            expect_guarded(self.router.listen, guarded=self.router.allow_unencrypted)
        elif not self.router.listen.startswith("tls/"):
            raise InputError(
                f"router: expected listen: tls/HOST:PORT, since there is security, got {self.router.listen}; change it"
            )
        for name in self.security.others if self.security else ():
            if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
                raise InputError(f"{name!r}: expected a name of letters, digits, dots, hyphens, underscores; rename it")
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise InputError(f"{twice[0]}: two processes have this name, expected each to have its own; rename one")


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
