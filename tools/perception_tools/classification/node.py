"""A node around a classifier, with the model of its plan."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from perception_tools.export.serving import ServedPlan
from perception_tools.model_files import TrainedWithClasses
from perception_tools.served_models import served_model, use_remote_block

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.operations.classifier_node import ClassifierNode


def configure_node(
    node: ClassifierNode[Any],
    trained: TrainedWithClasses[Any, Any, Any],
    plan: ServedPlan,
    session: zenoh.Session,
    open_: ExitStack,
) -> None:
    """Gives a node its model, with its block folded or, where the plan says so, at a service.

    Args:
        node: A node without a model.
        trained: The model; its trained block leaves memory with it where a folded one is used.
        plan: The node's plan.
        session: Session to the service.
        open_: Closes the connection.
    """
    model, model_id = served_model(trained, plan)
    node.configure(model, trained.classes, model_id=model_id)
    use_remote_block(model, plan, session, open_)
