"""The rights of a deployment's processes on its network, as rules of zenoh's access control.

Every process is a client of the router, which asks it for a certificate. So the router sees every message, knows its
sender, and alone needs the rules. What they do not grant is denied.

https://zenoh.io/docs/manual/access-control
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from perception_nodes.operations.deployment import FOXGLOVE, Deployment, FoxglovePlan
from perception_nodes.operations.diagnostics import DIAGNOSTICS_TOPIC
from perception_nodes.operations.node_plan import NodePlan
from perception_nodes.ros.wire import Topic, expect_name


@dataclass(frozen=True)
class Grant:
    """What a process may do, each right as key expressions.

    Attributes:
        publishes: Keys that it sends messages to, latched ones included.
        subscribes: Keys that it receives messages from.
        answers: Keys of requests that it replies to.
        asks: Keys that it sends requests to.
        announces: Liveliness tokens by which it announces itself.
        watches: Liveliness tokens of others that it sees.
    """

    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    announces: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()


_LATCHED = "/@adv/**"
"""Suffix of a topic's key where publishers keep the last messages of latched topics for late subscribers."""

_MESSAGES: dict[str, dict[str, tuple[list[str], list[str]]]] = {
    "publishes": {
        "": (["put", "delete", "reply"], ["declare_subscriber"]),
        _LATCHED: (["put", "reply", "declare_queryable", "liveliness_token"], ["declare_subscriber", "query"]),
    },
    "subscribes": {
        "": (["declare_subscriber"], ["put", "delete", "reply"]),
        _LATCHED: (
            ["declare_subscriber", "query", "liveliness_query", "declare_liveliness_subscriber"],
            ["put", "reply", "declare_queryable", "liveliness_token"],
        ),
    },
    "answers": {"": (["reply", "declare_queryable"], ["query"])},
    "asks": {"": (["query"], ["reply", "declare_queryable"])},
    "announces": {"": (["liveliness_token"], [])},
    "watches": {"": (["liveliness_query", "declare_liveliness_subscriber"], ["liveliness_token"])},
}
"""zenoh's messages that each right needs, from the process to the router and back, by the suffix of its keys."""


def access_control(grants: Mapping[str, Grant]) -> dict[str, object]:
    """Returns zenoh's setting `access_control` for a router, from the grants by the certificates' common names."""
    rules = {name: list(_rules(name, grant)) for name, grant in grants.items() if grant != Grant()}
    return {
        "enabled": True,
        "default_permission": "deny",
        "rules": [rule for own in rules.values() for rule in own],
        "subjects": [{"id": name, "cert_common_names": [name]} for name in rules],
        "policies": [{"subjects": [name], "rules": [rule["id"] for rule in own]} for name, own in rules.items()],
    }


def _rules(name: str, grant: Grant) -> Iterator[dict[str, object]]:
    for right, messages_of in _MESSAGES.items():
        for suffix, both_ways in messages_of.items():
            keys = [key + suffix for key in getattr(grant, right)]
            for flow, messages in zip(("ingress", "egress"), both_ways, strict=True):
                if keys and messages:
                    rule = {"messages": messages, "flows": [flow], "key_exprs": keys}
                    yield {"id": f"{name} {right} {suffix} {flow}", "permission": "allow", **rule}


def grants_of(deployment: Deployment) -> dict[str, Grant]:
    """Returns the rights that each process of a deployment needs, by its name."""
    grants: dict[str, Grant] = {}
    if deployment.service is not None:
        pipelines = deployment.service.pipelines or ("*",)
        serves = Grant(
            answers=tuple(f"blk/{pipeline}/*/infer" for pipeline in pipelines),
            announces=tuple(f"blk/{pipeline}/*/alive" for pipeline in pipelines),
        )
        grants |= dict.fromkeys(deployment.service.names, serves)
    grants |= {name: _node(name, plan) for name, plan in deployment.nodes.items()}
    if deployment.foxglove is not None:
        grants[FOXGLOVE] = _shows(deployment, deployment.foxglove)
    for name, other in deployment.security.others.items() if deployment.security else ():
        grants[name] = Grant(
            publishes=_keys(other.domain, *other.publishes),
            subscribes=_keys(other.domain, *other.subscribes),
            asks=_keys(other.domain, *other.asks),
            announces=(f"@ros2_lv/{other.domain}/**",),
            watches=(f"@ros2_lv/{other.domain}/**",),
        )
    return grants


def _node(name: str, plan: NodePlan) -> Grant:
    return Grant(
        subscribes=_keys(plan.domain, *_names(plan.inputs)),
        publishes=_keys(plan.domain, *_names(plan.outputs), DIAGNOSTICS_TOPIC),
        answers=_keys(plan.domain, *_names(plan.services)),
        announces=_tokens(plan.domain, name),
        **_block(plan.block),
    )


def _shows(deployment: Deployment, plan: FoxglovePlan) -> Grant:
    shown = [node for node in deployment.nodes.values() if node.domain == plan.domain]
    names = dict.fromkeys(name for node in shown for name in _names(node.topics))
    return Grant(
        subscribes=_keys(plan.domain, *names, DIAGNOSTICS_TOPIC),
        publishes=_keys(plan.domain, DIAGNOSTICS_TOPIC),
        announces=_tokens(plan.domain, FOXGLOVE),
    )


def _block(pipeline: str | None) -> dict[str, tuple[str, ...]]:
    """Returns the rights of a node that asks the block service."""
    if pipeline is None:
        return {}
    return {"asks": (f"blk/{pipeline}/*/infer",), "watches": (f"blk/{pipeline}/*/alive",)}


def _names(topics: Iterable[Topic]) -> list[str]:
    return [topic.name for topic in topics]


def _keys(domain: int, *names: str) -> tuple[str, ...]:
    """Returns the keys of topics and services in rmw_zenoh's form, of any type."""
    for name in names:
        expect_name(name)  # a pattern would grant more
    return tuple(f"{domain}{name}/*/*" for name in names)


def _tokens(domain: int, name: str) -> tuple[str, ...]:
    """Returns a ROS node's liveliness tokens: domain, session, node, entity, role, enclave, namespace, name, topic."""
    return (f"@ros2_lv/{domain}/*/*/*/*/*/*/{name}/**",)
