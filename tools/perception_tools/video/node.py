"""The video node of a deployment, with its model."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from perception.errors import InputError
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_nodes.operations.torch_loading import without_collections
from perception_nodes.video.node import VideoNode
from perception_nodes.video.process import VideoProcess
from perception_tools.classification.node import configure_node
from perception_tools.extras import require
from perception_tools.video.model import TrainedRecognizer, load_recognizer

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.ros.topics import RosNode
    from perception_nodes.video.plan import VideoPlan


def open_node(plan: VideoPlan, session: zenoh.Session, ros: RosNode, open_: ExitStack) -> VideoProcess:
    """Starts the node between its topics.

    Raises:
        InputError: There is no model, it cannot be served, or Pillow is not installed.
    """
    return open_.enter_context(VideoProcess(configured_node(plan, session, open_), ros, plan))


def configured_node(plan: VideoPlan, session: zenoh.Session, open_: ExitStack) -> VideoNode:
    """Returns a node with its model; the trained block leaves memory with this function where it is not used."""
    require("PIL")
    with without_collections():
        trained = load_served(plan.checkpoint)
        node = VideoNode(
            plan.top,
            stride_s=plan.stride_s,
            max_gap_s=plan.max_gap_s,
            every=plan.every,
            shorter_side=trained.recipe.shorter_side,
        )
        configure_node(node, trained, plan, session, open_)
    return node


def load_served(checkpoint: Path) -> TrainedRecognizer:
    """Returns a model that recognises actions in a stream.

    Raises:
        InputError: There is none, or it is an autoencoder, or a control that sees pictures in another order.
    """
    trained = load_recognizer(checkpoint)
    if isinstance(trained.model, MaskedAutoencoder):
        raise InputError(f"{checkpoint}: expected a model that recognises actions, found one of pre-training")
    if trained.recipe.order != "kept":
        raise InputError(
            f"{checkpoint}: expected a model that sees pictures in their order, found a control that sees them "
            f"{trained.recipe.order}; give another"
        )
    return trained
