from __future__ import annotations

from pathlib import Path

from perception_nodes.image.plan import ImagePlan


def test_classes_of_pictures_have_topics_of_their_own() -> None:
    plan = ImagePlan(Path("run"))
    assert [topic.name for topic in plan.outputs] == ["/perception/camera/classes", "/perception/camera/classes/status"]
    assert plan.messages_per_answer == 1
