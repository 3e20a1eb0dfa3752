"""Which of a robot's topics a node would read, by their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import yaml

from perception.errors import first_of
from perception_nodes.operations.node_plan import NodePlan, plan_type

if TYPE_CHECKING:
    from perception_nodes.operations.reference import DescribedNode


def propose(name: str, kind: str, checkpoint: str, domain: int, topics: Mapping[str, str]) -> DescribedNode:
    """Returns a node whose inputs are topics of a robot.

    Of several topics with the type of an input, one with the default's name is chosen, or else the first by name. Where
    there is none, the default stays. A note says so in either case, and where another publishes what the node would.

    Args:
        name: Name of the node.
        kind: Its kind.
        checkpoint: Folder of the run, as it is to stand in the file.
        domain: ROS_DOMAIN_ID.
        topics: Types of the robot's topics, by their names.
    """
    from perception_nodes.operations.reference import DescribedNode

    default = plan_type(kind)(checkpoint=Path(checkpoint))
    plan = max(_variants(default), key=lambda variant: sum(t.type in topics.values() for t in variant.inputs))
    values = {"checkpoint": _yaml(checkpoint)} | ({"domain": str(domain)} if domain else {})
    notes: dict[str, str] = {}
    for key in _keys_that_differ(plan, default):
        values[key] = _yaml(getattr(plan, key))
        notes[key] = "The robot has topics of this type, and none of the default's."
    for topic in plan.inputs:
        key = _key_of(plan, topic.name)
        if key is None or topic in plan.outputs:  # such as /tf, and what a node hears of itself
            continue
        fitting = sorted(other for other, type_ in topics.items() if type_ == topic.type)
        if not fitting:
            notes[key] = f"The robot has no topic of {topic.type}: the default stands here."
            continue
        chosen = topic.name if topic.name in fitting else fitting[0]
        if chosen != topic.name:
            values[key] = _yaml(chosen)
        if others := [other for other in fitting if other != chosen]:
            notes[key] = f"The robot also has {first_of(others)} of this type: is it the right one?"
    for topic in plan.outputs:
        if topic.name in topics and (key := _key_of(plan, topic.name)):
            notes[key] = "The robot publishes this topic already: stop that, or give another name."
    return DescribedNode(name, kind, values, notes)


def _variants(plan: NodePlan) -> Iterator[NodePlan]:
    """Yields a plan, and those with another type of an input, where its keys give a choice."""
    yield plan
    types = {topic.type for topic in plan.inputs}
    for key, hint in get_type_hints(type(plan)).items():
        if get_origin(hint) is Literal and getattr(plan, key, None) in types:
            yield from (replace(plan, **{key: word}) for word in get_args(hint) if word != getattr(plan, key))


def _key_of(plan: NodePlan, topic: str) -> str | None:
    """Returns the key that names a topic; None where no key does."""
    return next((field.name for field in fields(plan) if getattr(plan, field.name) == topic), None)


def _keys_that_differ(plan: NodePlan, default: NodePlan) -> list[str]:
    return [field.name for field in fields(plan) if getattr(plan, field.name) != getattr(default, field.name)]


def _yaml(value: Any) -> str:
    return yaml.safe_dump(str(value), width=10_000).removesuffix("\n").removesuffix("\n...")
