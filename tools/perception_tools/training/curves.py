"""Learning curves of a run, from its TensorBoard events."""

from __future__ import annotations

from pathlib import Path


def read_curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) points of every scalar with a `/` in its name; empty where the run has no events.

    A run that was killed and resumed wrote some steps twice; the later value counts.
    """
    if not any(run.glob("events.out.tfevents.*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(run), size_guidance={SCALARS: 0})
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if "/" in name]
    return {name: sorted({event.step: event.value for event in events.Scalars(name)}.items()) for name in names}
