"""What follows from a job's recipe and the order of its data; each task's own job is tested with the task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

from perception_tools.training import sampler as sampler_module
from perception_tools.training.job import Job
from perception_tools.training.sampler import SegmentSampler


def make_job(segments: SegmentSampler, passes: int = 3) -> Job:
    task: Any = SimpleNamespace(recipe=SimpleNamespace(passes=passes))
    unused: Any = None
    return Job(task, segments, unused, unused, "val/loss", "min", str, "", "record {}".format)


def test_an_epoch_is_a_segment_of_a_pass() -> None:
    with mock.patch.object(sampler_module, "SEGMENT_BATCHES", 4):
        job = make_job(SegmentSampler(records=40, batch=5, seed=0))
    assert (job.segments.segments_per_pass, job.batches, job.epochs) == (2, 4, 6)


def test_the_records_of_a_step_are_named_each_once() -> None:
    segments = SegmentSampler(records=12, batch=6, seed=1, repeats=3)
    job = make_job(segments)
    for epoch, step in ((0, 0), (0, 1), (2, 1)):
        indices = segments.indices_of(epoch, step)
        assert len(indices) == 6
        assert job.records_of_step(epoch, step) == [f"record {i}" for i in dict.fromkeys(indices)]
        assert len(job.records_of_step(epoch, step)) == 2
