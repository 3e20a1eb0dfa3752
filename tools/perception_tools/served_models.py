"""A trained model as a node runs it: with its block folded, or with one that a service answers for."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from torch import nn

from perception.kernels.linear import for_inference
from perception_nodes.operations.computing import compute_with
from perception_tools.export.serving import ServedPlan, serve_for
from perception_tools.model_metadata import served_model_id
from perception_tools.tasks import TrainedModel

if TYPE_CHECKING:
    import zenoh


def served_model(trained: TrainedModel, plan: ServedPlan) -> tuple[Any, str]:
    """The model for a node, and its id; the trained block leaves memory with `trained` where a folded one is used.

    Raises:
        InputError: The precision asks for a block that the model does not have.
    """
    compute_with(plan.threads)
    if plan.block is None:
        model = _own_block(trained, plan)
    else:
        assert isinstance(trained.model, nn.Module)
        model = for_inference(trained.model)
    return model, served_model_id(trained.name, plan)


def _own_block(trained: TrainedModel, plan: ServedPlan) -> Any:
    """The model with its block in this process."""
    if plan.backend == "torch":
        return trained.model.folded(plan.precision)
    return serve_for(plan, trained)


def use_remote_block(
    model: nn.Module, plan: ServedPlan, session: zenoh.Session, open_: ExitStack, *, patient: bool = True
) -> None:
    """Puts the block that the plan names at a service into a model, if it names one.

    To be called once the node is configured: warming up must not wait for the service.

    Args:
        model: The model.
        plan: The node's plan.
        session: Session to the service.
        open_: Closes the connection.
        patient: Whether a request waits for a worker while there is none.
    """
    from perception_nodes.block.client import RemoteBlock
    from perception_nodes.block.over_zenoh import ZenohBlocks

    if plan.block is None:
        return
    blocks = ZenohBlocks(session, patient=patient)
    open_.callback(blocks.close)
    model.block = RemoteBlock(blocks, plan.block, plan.timeout_ms / 1e3)
