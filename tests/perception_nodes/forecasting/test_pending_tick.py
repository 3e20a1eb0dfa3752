from __future__ import annotations

from collections.abc import Callable

from perception_nodes.forecasting.pending_tick import PendingTick
from perception_nodes.forecasting.tick import Tick


def test_a_tick_that_gets_no_answer_keeps_its_stamp_and_the_reason_and_none_of_its_objects(
    make_tick: Callable[..., Tick],
) -> None:
    tick = make_tick(3)
    pending = PendingTick.unusable(tick, "sent before", 1.5)
    assert len(tick) > 0
    assert len(pending.objects) == len(pending.velocity) == len(pending.trajectories) == len(pending.sources) == 0
    assert (pending.stamp_ns, pending.reason, pending.begin_s) == (tick.stamp_ns, "sent before", 1.5)
    assert (pending.usable, pending.in_time, pending.question) == (False, False, None)
