from enum import IntEnum

import pytest

from perception_nodes.ros.messages import INTERFACES
from perception_nodes.scene_qa.question import AnswerMode, Status


@pytest.mark.parametrize(
    ("numbers", "message", "prefix"), [(Status, "SceneAnswer", ""), (AnswerMode, "SceneQuestion", "ANSWER_")]
)
def test_numbers_are_those_of_the_message(numbers: type[IntEnum], message: str, prefix: str) -> None:
    text = (INTERFACES / "scene_qa_msgs" / "msg" / f"{message}.msg").read_text()
    constants = [line.split("#")[0].split()[1] for line in text.splitlines() if "=" in line.split("#")[0]]
    assert constants == [f"{prefix}{number.name}={number.value}" for number in numbers]
