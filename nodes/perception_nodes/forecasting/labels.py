"""Classes of objects: Autoware's labels, Argoverse 2's kinds, which the model knows, and the words of detectors."""

from __future__ import annotations

from perception.traffic.scenario import AgentKind
from perception_nodes.ros.objects import Label

KIND_OF_LABEL = {
    Label.CAR: AgentKind.VEHICLE,
    Label.TRUCK: AgentKind.VEHICLE,
    Label.TRAILER: AgentKind.VEHICLE,
    Label.BUS: AgentKind.BUS,
    Label.MOTORCYCLE: AgentKind.MOTORCYCLIST,
    Label.BICYCLE: AgentKind.CYCLIST,
    Label.PEDESTRIAN: AgentKind.PEDESTRIAN,
    Label.HAZARD: AgentKind.STATIC,
}
"""Argoverse 2 has no kind for the other labels: their objects are UNKNOWN."""
LABEL_OF_KIND = {
    AgentKind.VEHICLE: Label.CAR,
    AgentKind.BUS: Label.BUS,
    AgentKind.MOTORCYCLIST: Label.MOTORCYCLE,
    AgentKind.CYCLIST: Label.BICYCLE,
    AgentKind.PEDESTRIAN: Label.PEDESTRIAN,
    AgentKind.STATIC: Label.HAZARD,
    AgentKind.CONSTRUCTION: Label.HAZARD,
}
"""Labels of objects from logs. Every road user keeps its kind there and back. Autoware has no label for other kinds."""

_TRUCKS = ("truck", "large_vehicle", "box_truck", "truck_cab", "construction_vehicle")
_CONSTRUCTION = ("construction", "construction_cone", "traffic_cone", "cone")
LABEL_OF_CLASS = {
    **dict.fromkeys(("car", "vehicle", "regular_vehicle", "van"), Label.CAR),
    **dict.fromkeys(_TRUCKS, Label.TRUCK),
    **dict.fromkeys(("trailer", "vehicular_trailer"), Label.TRAILER),
    **dict.fromkeys(("bus", "school_bus", "articulated_bus"), Label.BUS),
    **dict.fromkeys(("motorcyclist", "motorcycle", "motorbike"), Label.MOTORCYCLE),
    **dict.fromkeys(("cyclist", "bicyclist", "bicycle", "bike"), Label.BICYCLE),
    **dict.fromkeys(("pedestrian", "person"), Label.PEDESTRIAN),
    **dict.fromkeys(("animal", "dog"), Label.ANIMAL),
    **dict.fromkeys(("static", "hazard", "barrier", *_CONSTRUCTION), Label.HAZARD),
    "over_drivable": Label.OVER_DRIVABLE,
    "under_drivable": Label.UNDER_DRIVABLE,
    "unknown": Label.UNKNOWN,
}
"""Class names of Argoverse 2, Autoware, COCO, KITTI and nuScenes' detections, in lower case with underscores.

Objects of other classes are UNKNOWN. Bicycles and motorcycles count as ridden, as in Autoware."""
KIND_OF_CLASS = {
    **{name: KIND_OF_LABEL.get(label, AgentKind.UNKNOWN) for name, label in LABEL_OF_CLASS.items()},
    **dict.fromkeys(_CONSTRUCTION, AgentKind.CONSTRUCTION),
}
"""Kinds of the same classes: the model tells construction from other hazards."""


def class_word(class_id: str) -> str:
    """Returns a detector's class in the spelling of `LABEL_OF_CLASS`."""
    return class_id.strip().lower().replace(" ", "_").replace("-", "_")
