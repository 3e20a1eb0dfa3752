from __future__ import annotations

from perception_nodes.forecasting.messages import status_of
from perception_nodes.forecasting.no_answer import no_answer


def test_it_is_not_to_be_acted_on_and_says_why() -> None:
    result = no_answer(5, "no objects for 0.4 s", "tiny")
    status = status_of(result, node="ego")
    assert (result.source, status.source, status.valid) == ("none", "none", False)
    assert (status.reason, status.node, status.model_id) == ("no objects for 0.4 s", "ego", "tiny")
    assert (status.header.stamp.nanosec, len(status.object_sources)) == (5, 0)
