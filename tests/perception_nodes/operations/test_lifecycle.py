import pytest

from perception_nodes.operations.lifecycle import Lifecycle, LifecycleError, State


def test_the_usual_way_through_a_nodes_life() -> None:
    lifecycle = Lifecycle()
    seen = [lifecycle.state]
    for transition in ("configure", "activate", "deactivate", "cleanup", "configure", "activate", "shutdown"):
        lifecycle.change(transition)
        seen.append(lifecycle.state)
    assert seen == [
        State.UNCONFIGURED,
        State.INACTIVE,
        State.ACTIVE,
        State.INACTIVE,
        State.UNCONFIGURED,
        State.INACTIVE,
        State.ACTIVE,
        State.FINALISED,
    ]


def test_a_transition_from_elsewhere_is_refused_with_those_that_are_possible() -> None:
    lifecycle = Lifecycle()
    with pytest.raises(LifecycleError, match=r"that is inactive, it is unconfigured; .* configure, shutdown"):
        lifecycle.change("activate")
    assert lifecycle.state is State.UNCONFIGURED
    lifecycle.change("shutdown")
    with pytest.raises(LifecycleError, match="it is finalised; make a new one"):
        lifecycle.change("shutdown")


def test_only_an_active_node_answers() -> None:
    lifecycle = Lifecycle()
    with pytest.raises(LifecycleError, match="step: expected an active node, it is unconfigured"):
        lifecycle.require_active("step")
    lifecycle.change("configure")
    lifecycle.change("activate")
    lifecycle.require_active("step")
