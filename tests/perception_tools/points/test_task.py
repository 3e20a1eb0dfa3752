from __future__ import annotations

from perception_tools.points.model import load_classifier
from perception_tools.points.task import TASK
from perception_tools.references import resolve


def test_every_reference_of_the_record_is_there() -> None:
    for reference in (TASK.run, TASK.job, TASK.load, TASK.evaluate, TASK.headline):
        assert callable(resolve(reference))
    for command in TASK.commands.values():
        assert callable(resolve(command.function))
    assert resolve(TASK.load) is load_classifier
