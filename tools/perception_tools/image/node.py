"""The camera node of a deployment, with its model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from perception_nodes.image.node import ImageNode
from perception_nodes.image.process import ImageProcess
from perception_nodes.operations.computing import keep_freed_memory
from perception_nodes.operations.torch_loading import without_collections
from perception_tools.extras import require

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.image.plan import ImagePlan
    from perception_nodes.ros.topics import RosNode


def open_node(plan: ImagePlan, session: zenoh.Session, ros: RosNode, open_: ExitStack) -> ImageProcess:
    """Starts the node between its topics.

    Raises:
        InputError: There is no model, it is none of pictures, or Pillow is not installed.
    """
    return open_.enter_context(ImageProcess(configured_node(plan, session, open_), ros, plan))


def configured_node(plan: ImagePlan, session: zenoh.Session, open_: ExitStack) -> ImageNode:
    """Returns a node with its model; PyTorch is imported only for a model that it computes itself."""
    require("PIL")
    node = ImageNode(plan.top)
    if plan.backend == "torch":
        _load_trained(node, plan, session, open_)
    else:
        _load_exported(node, plan)
    return node


def _load_exported(node: ImageNode, plan: ImagePlan) -> None:
    from perception_tools.export.serving import serve_for

    keep_freed_memory()
    with without_collections():
        model = serve_for(plan)
        node.configure(model, model.classes, model_id=model.runtime.file.model_id)


def _load_trained(node: ImageNode, plan: ImagePlan, session: zenoh.Session, open_: ExitStack) -> None:
    """The trained block leaves memory with this function where it is not used."""
    from perception_tools.classification.node import configure_node
    from perception_tools.image.model import load_classifier

    with without_collections():
        configure_node(node, load_classifier(plan.checkpoint), plan, session, open_)
