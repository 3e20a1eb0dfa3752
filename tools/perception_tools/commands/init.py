"""`perception init`: files to begin with."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception.files import whole_file
from perception_tools.joining import joined
from perception_tools.tasks import task_of_run

Topics = Mapping[str, str]
"""Type by name."""
_LOOK_EVERY_S, _QUIET_S = 0.5, 2.0


def init_robot(
    out: Annotated[Path, Positional, arg(metavar="OUT.yaml")],
    checkpoint: tuple[Path, ...],
    log: Path | None = None,
    topics: tuple[str, ...] = (),
    discover_s: float = 30.0,
    connect: str | None = None,
    domain: int = 0,
    force: bool = False,
) -> dict:
    """Write a deployment's file for trained models and the topics of a robot, with every key, its default and meaning.

    The topics of objects, odometry, map and clouds are chosen by their types: from a recording of the robot, from a
    list, or from what is announced at a router. `perception up OUT.yaml --check` then says what is missing, and
    `perception up OUT.yaml` runs it.

    Args:
        out: The file to write.
        checkpoint: Folders of trained runs; each gets a node of its task's kind.
        log: Recording of the robot (.mcap, .db3 or a rosbag2 folder), whose topics are taken.
        topics: Topics as NAME:TYPE, such as /objects:vision_msgs/msg/Detection3DArray.
        discover_s: Without a log and without topics: how long to wait for announcements at the router, seconds;
            it ends when none has come for 2 s.
        connect: Endpoint of the router to listen at; tcp/127.0.0.1:7447 by default.
        domain: ROS_DOMAIN_ID.
        force: Overwrite a file that is there.
    """
    from perception_nodes.operations.deployment import read_deployment
    from perception_nodes.operations.reference import commented_deployment
    from perception_tools.commands.proposal import propose
    from perception_tools.deployment_files import file_findings

    if not checkpoint:
        raise InputError("init robot: expected at least one --checkpoint, got none; give a run's folder")
    if out.exists() and not force:
        raise InputError(f"{out}: expected no file there, found one; give another name, or --force to overwrite it")
    source, found = _topics(log, topics, discover_s, connect, domain)
    nodes, names = [], set()
    for run in checkpoint:
        kind = task_of_run(run).node_kind
        if kind is None:
            raise InputError(f"{run}: expected a model of a task that has a node, found one of none; give another")
        name = kind.replace("-", "_")
        while name in names:
            name = f"{name}_2"
        names.add(name)
        nodes.append(propose(name, kind, os.path.relpath(run, out.parent), domain, found))
    introduction = (
        f"Written by `perception init robot` from {source}. Every key has its default unless the comment says why not. "
        "Paths are relative to this file."
    )
    text = commented_deployment(nodes, introduction, connect)
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    plan = read_deployment(out)
    print(f"{out}: {', '.join(plan.nodes)} from {source}")
    notes = {f"{node.name}.{key}": note for node in nodes for key, note in node.notes.items()}
    print("".join(f"  {key}: {note}\n" for key, note in notes.items()), end="")
    findings = list(file_findings(plan))
    print("".join(f"  {finding}\n" for finding in findings), end="")
    print(f"look it over, then: perception up {out} --check")
    return {"file": str(out), "nodes": list(plan.nodes), "topics": dict(found), "notes": notes, "findings": findings}


def _topics(
    log: Path | None, listed: tuple[str, ...], discover_s: float, connect: str | None, domain: int
) -> tuple[str, Topics]:
    """Returns where the topics come from, in words, and the topics."""
    if log is not None and listed:
        raise InputError("--log, --topics: expected one of them, got both; leave one out")
    if listed:
        return "a list of topics", dict(_pair(text) for text in listed)
    if log is not None:
        from perception_nodes.recordings.reader import topics_in

        return log.name, {topic.name: topic.type for topic in topics_in(log).values()}
    return "what was announced", _announced(connect, domain, discover_s)


def _pair(text: str) -> tuple[str, str]:
    from perception_nodes.ros.wire import expect_name

    name, colon, kind = text.partition(":")
    if not colon or len(kind.split("/")) != 3:
        raise InputError(f"--topics {text}: expected NAME:PACKAGE/msg/TYPE, such as /odometry:nav_msgs/msg/Odometry")
    expect_name(name)
    return name, kind


def _announced(connect: str | None, domain: int, seconds: float) -> Topics:
    """Returns the topics of all publishers that are announced at a router, when no more of them come."""
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh, Role

    found: dict[str, str] = {}
    with joined(connect, None, "init") as session, RosNode(session, RmwZenoh(node="init", domain=domain)) as ros:
        end = latest = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY_S))
            announced = {e.topic.name: e.topic.type for e in ros.others() if e.role is Role.PUBLISHER}
            if not announced.keys() <= found.keys():
                found |= announced
                end = min(latest, time.monotonic() + _QUIET_S)
    if not found:
        raise InputError(
            f"expected publishers in domain {domain} at the router within {seconds:g} s, found none; start the robot, "
            "or give --log or --topics"
        )
    return found
