"""What a deployment's file says of a node that answers each message of one sensor, the newest first."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

from typing_extensions import override

from perception_nodes.operations.node_plan import NodePlan, expect_positive
from perception_nodes.ros.clock import CLOCK_TOPIC
from perception_nodes.ros.messages import ANSWER_STATUS, CLOCK, topic_of
from perception_nodes.ros.wire import SENSOR_DATA, Topic


@dataclass(frozen=True)
class SensorPlan(NodePlan):
    """The keys of every such node.

    Attributes:
        max_rate_hz: Maximum number of answers a second; of the messages between two the newest is answered.
        max_age_s: Messages with an older stamp are refused, in seconds.
        max_ahead_s: Messages with a stamp further ahead of the clock are refused, in seconds.
        max_silence_s: While the sensor says nothing for longer, the diagnostics fail, in seconds.
        use_sim_time: Whether the time is that of /clock, as in a simulation or when a log is played.
    """

    max_rate_hz: float = math.inf
    max_age_s: float = 1.0
    max_ahead_s: float = 0.5
    max_silence_s: float = 1.0
    use_sim_time: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive(
            "node",
            max_rate_hz=self.max_rate_hz,
            max_age_s=self.max_age_s,
            max_ahead_s=self.max_ahead_s,
            max_silence_s=self.max_silence_s,
        )

    @property
    @abstractmethod
    def sensor(self) -> Topic:
        """Topic of the sensor."""

    @property
    @abstractmethod
    def answers(self) -> Topic:
        """Topic of the answers."""

    @property
    @abstractmethod
    def status_name(self) -> str:
        """Name of the topic of their statuses."""

    @property
    def companions(self) -> tuple[Topic, ...]:
        """Topics that are read beside the sensor, for its messages to be answered."""
        return ()

    @property
    def messages_per_answer(self) -> int:
        """Number of the sensor's messages of which one is answered."""
        return 1

    @property
    @override
    def inputs(self) -> tuple[Topic, ...]:
        """The sensor and its companions; a clock if it is simulated."""
        clock = (topic_of(CLOCK_TOPIC, CLOCK, SENSOR_DATA),) if self.use_sim_time else ()
        return (self.sensor, *self.companions, *clock)

    @property
    @override
    def outputs(self) -> tuple[Topic, ...]:
        """Answers and their statuses."""
        return (self.answers, topic_of(self.status_name, ANSWER_STATUS))
