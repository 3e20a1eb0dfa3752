"""Deployment files of the former version, whose nodes do not say their kind.

    nodes:
      ego: {checkpoint: runs/llama}        # the first kind of the table, forecast
    scene_qa:
      answerer: {checkpoint: runs/rooms}   # a section by the name of a kind

Both are still read, with a warning that says what to write.
"""

from __future__ import annotations

import logging
from pathlib import Path

import yaml

from perception_nodes.kinds import KINDS

NODES = "nodes"

_log = logging.getLogger(__name__)


def add_kinds(path: Path, root: yaml.Node) -> None:
    """Gives every node of a file its kind, and moves the nodes of sections by the name of a kind to `nodes`.

    Args:
        path: Path of the file, for the warning.
        root: Its root node, which is changed.
    """
    if not isinstance(root, yaml.MappingNode):
        return  # the reader says what is wrong
    added = [*_add_kind(_section(root, NODES), next(iter(KINDS)))]
    for kind in KINDS:
        section = _section(root, kind.replace("-", "_"))
        if section is not None:
            added += _add_kind(section, kind)
            _move(root, section)
    if added:
        _log.warning("%s: nodes say their kind now; under %s: write %s", path, NODES, "; ".join(added))


def _section(root: yaml.MappingNode, name: str) -> yaml.MappingNode | None:
    for key, value in root.value:
        if key.value == name and isinstance(value, yaml.MappingNode):
            return value
    return None


def _add_kind(section: yaml.MappingNode | None, kind: str) -> list[str]:
    """Adds the kind to the nodes of a section that have none; returns what to write for each."""
    added = []
    for name, node in () if section is None else section.value:
        if isinstance(node, yaml.MappingNode) and "kind" not in [key.value for key, _ in node.value]:
            node.value.insert(0, (_word("kind", node), _word(kind, node)))
            added.append(f"{name.value}: {{kind: {kind}, …}}")
    return added


def _move(root: yaml.MappingNode, section: yaml.MappingNode) -> None:
    """Takes a section away, and adds its nodes to the section `nodes`."""
    place = next(number for number, (_, value) in enumerate(root.value) if value is section)
    key, _ = root.value.pop(place)
    nodes = _section(root, NODES)
    if nodes is None:
        root.value.append((_word(NODES, key), section))
    else:
        nodes.value.extend(section.value)


def _word(text: str, at: yaml.Node) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, at.start_mark, at.end_mark)
