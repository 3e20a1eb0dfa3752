"""The states of a node and the transitions between them, as ROS 2 names them (https://design.ros2.org, lifecycle)."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from perception.errors import InputError

Transition = Literal["configure", "activate", "deactivate", "cleanup", "shutdown"]


class LifecycleError(InputError):
    """A transition or a call that the node's state does not allow."""


class State(Enum):
    """A node's states."""

    UNCONFIGURED = "unconfigured"
    INACTIVE = "inactive"
    ACTIVE = "active"
    FINALISED = "finalised"


_TRANSITIONS: dict[Transition, tuple[tuple[State, ...], State]] = {
    "configure": ((State.UNCONFIGURED,), State.INACTIVE),
    "activate": ((State.INACTIVE,), State.ACTIVE),
    "deactivate": ((State.ACTIVE,), State.INACTIVE),
    "cleanup": ((State.INACTIVE,), State.UNCONFIGURED),
    "shutdown": ((State.UNCONFIGURED, State.INACTIVE, State.ACTIVE), State.FINALISED),
}


class Lifecycle:
    """A node's state."""

    def __init__(self) -> None:
        self.state = State.UNCONFIGURED

    def check(self, transition: Transition) -> None:
        """Raises LifecycleError unless the transition starts from the present state."""
        starts, _ = _TRANSITIONS[transition]
        if self.state not in starts:
            raise LifecycleError(
                f"{transition}: expected a node that is {' or '.join(state.value for state in starts)}, "
                f"it is {self.state.value}; {_advice(self.state)}"
            )

    def change(self, transition: Transition) -> None:
        """Makes a transition; raises LifecycleError unless it starts from the present state."""
        self.check(transition)
        self.state = _TRANSITIONS[transition][1]

    def require_active(self, call: str) -> None:
        """Raises LifecycleError unless the node is active."""
        if self.state is not State.ACTIVE:
            raise LifecycleError(f"{call}: expected an active node, it is {self.state.value}; {_advice(self.state)}")


class LifecycleNode:
    """A node with states; what it lets go of in them is its own.

    Attributes:
        lifecycle: Its state.
    """

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()

    def activate(self) -> None:
        """Starts answering."""
        self.lifecycle.change("activate")

    def deactivate(self) -> None:
        """Stops answering, and forgets what would have a gap when it starts again."""
        self.lifecycle.change("deactivate")
        self._forget_stream()

    def cleanup(self) -> None:
        """Releases the model."""
        self.lifecycle.change("cleanup")
        self._forget_model()

    def shutdown(self) -> None:
        """Ends for good."""
        self.lifecycle.change("shutdown")
        self._forget_model()
        self._forget_stream()

    def _forget_model(self) -> None:
        """Lets go of the model and of what was computed with it."""
        raise NotImplementedError

    def _forget_stream(self) -> None:
        """Lets go of what has come so far and must be without a gap; nothing unless a node says so."""


def _advice(state: State) -> str:
    if state is State.FINALISED:
        return "make a new one"
    possible = [transition for transition, (starts, _) in _TRANSITIONS.items() if state in starts]
    return f"possible now: {', '.join(possible)}"
