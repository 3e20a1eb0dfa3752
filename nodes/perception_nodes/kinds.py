"""The kinds of nodes, one line each: the word for it in a deployment's file, and the class of its settings."""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "forecast": "perception_nodes.forecasting.plan:ForecastPlan",
    "scene-qa": "perception_nodes.scene_qa.plan:SceneQaPlan",
    "image": "perception_nodes.image.plan:ImagePlan",
    "points": "perception_nodes.points.plan:PointsPlan",
    "video": "perception_nodes.video.plan:VideoPlan",
}
"""`module:class` by kind; each class is a `perception_nodes.operations.node_plan.NodePlan`.

A module is imported when a deployment has a node of its kind."""
