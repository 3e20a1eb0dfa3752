"""Whether the files that a deployment names are there and are what they should be; only their headers are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception.errors import InputError
from perception.files import reading
from perception_tools.tasks import task_of_node, task_of_run

if TYPE_CHECKING:
    from perception_nodes.operations.deployment import Deployment, ServicePlan
    from perception_nodes.operations.node_plan import NodePlan

_REFOLD = "write it again with perception block fold"


def file_findings(deployment: Deployment) -> Iterator[str]:
    """Yields what is wrong with the files of a deployment, a sentence each."""
    served: Mapping[str, Path] = {}
    if deployment.service is not None:
        try:
            served = _pipelines(deployment.service)
        except InputError as error:
            yield f"service: {error}"
    for name, node in deployment.nodes.items():
        try:
            _check_model(node)
        except InputError as error:
            yield f"node {name}: {error}"
        if node.block is not None and served and node.block not in served:
            yield f"node {name}: expected the pipeline {node.block} in the service's folder, found {', '.join(served)}"
        map_file: Path | None = getattr(node, "map_file", None)
        if map_file is not None and not map_file.is_file():
            yield f"node {name}: {map_file}: expected a map, found none; write one with `perception map convert`"
        scan: Path | None = getattr(node, "scan", None)
        if scan is not None and not scan.is_file():
            yield f"node {name}: {scan}: expected a file of points (.ply, .pcd), found none; give another"


def _check_model(node: NodePlan) -> None:
    """Raises InputError unless a node's model is of its kind, and its frozen block can be found."""
    from perception.frozen.weights import read_config
    from perception_nodes.exported.model_file import is_exported
    from perception_tools.model_metadata import format_of

    if is_exported(node.checkpoint):
        if (task := task_of_run(node.checkpoint)).node_kind != node.kind:
            raise InputError(
                f"{node.checkpoint}: expected a model for a node of kind {node.kind}, got one of the task {task.name}"
            )
        if task.served is None:
            raise InputError(
                f"{node.checkpoint}: expected a run's folder or model file, since a node of kind {node.kind} prepares "
                "what it sees with PyTorch, got an exported model; give the run that it was exported from"
            )
        return
    expected, found = task_of_node(node.kind).format, format_of(node.checkpoint)
    if found != expected:
        raise InputError(
            f"{node.checkpoint}: expected a model of the format {expected}, got {found!r}; give what "
            f"`perception train` wrote for a node of kind {node.kind}"
        )
    block = _recipe_of(node.checkpoint).get("block")
    if isinstance(block, dict) and block.get("kind") in ("language", "random"):
        read_config(str(block.get("source")))


def _recipe_of(checkpoint: Path) -> dict[str, Any]:
    from safetensors import safe_open

    from perception_tools.model_metadata import MODEL_FILE

    file = checkpoint / MODEL_FILE if checkpoint.is_dir() else checkpoint
    with reading(file, "train the model again, or copy it again"), safe_open(file, "pt") as opened:
        return dict(json.loads((opened.metadata() or {})["recipe"]))


def _pipelines(service: ServicePlan) -> dict[str, Path]:
    """Returns the pipelines that a service is to serve, by their names.

    Raises:
        InputError: There are none, or one or the block that they share is missing.
    """
    from safetensors import safe_open

    from perception.frozen.folded_file import PIPELINE

    found: dict[str, Path] = {}
    for path in sorted(service.folder.glob("*.safetensors")):
        with reading(path, _REFOLD), safe_open(path, "pt") as opened:
            metadata: Mapping[str, Any] = opened.metadata() or {}
        if metadata.get("format") != PIPELINE or path.stem not in (service.pipelines or (path.stem,)):
            continue
        found[path.stem] = path
        if not (service.folder / metadata.get("tail", "")).is_file():
            raise InputError(f"{path}: expected its block beside it, {metadata.get('tail')}, found none; {_REFOLD}")
    if missing := [name for name in service.pipelines if name not in found] or ([] if found else ["pipelines"]):
        raise InputError(
            f"{service.folder}: expected {', '.join(missing)}, found {', '.join(found) or 'none'}; write them with "
            "perception block fold"
        )
    return found
