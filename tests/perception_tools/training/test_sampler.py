from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception_tools.training import sampler as sampler_module
from perception_tools.training.sampler import Key, SegmentSampler, records_at_once


def keys_of_pass(
    scenarios: int, batch: int, seed: int, data_pass: int, processes: int = 1, repeats: int = 1
) -> list[list[Key]]:
    """What each step of a pass over the data sees, over all processes together."""
    steps: list[list[Key]] = []
    samplers = [SegmentSampler(scenarios, batch, seed, rank, processes, repeats) for rank in range(processes)]
    share = batch // processes
    for part in range(samplers[0].segments_per_pass):
        for sampler in samplers:
            sampler.set_epoch(data_pass * sampler.segments_per_pass + part)
        drawn = [list(sampler) for sampler in samplers]
        assert all(len(keys) == len(sampler) for keys, sampler in zip(drawn, samplers, strict=True))
        for step in range(samplers[0].batches):
            steps.append([key for keys in drawn for key in keys[step * share : (step + 1) * share]])
    return steps


@settings(deadline=None, max_examples=30)
@given(
    scenarios=st.integers(8, 60),
    share=st.integers(1, 4),
    processes=st.sampled_from([1, 2]),
    segment=st.integers(1, 10),
    data_pass=st.integers(0, 3),
)
def test_a_pass_sees_every_scenario_once_but_for_the_rest_that_fills_no_step(
    scenarios: int, share: int, processes: int, segment: int, data_pass: int
) -> None:
    batch = share * processes
    with mock.patch.object(sampler_module, "SEGMENT_BATCHES", segment):
        steps = keys_of_pass(scenarios, batch, seed=0, data_pass=data_pass, processes=processes)
        per_pass = SegmentSampler(scenarios, batch, 0).segments_per_pass
    seen = [key.index for step in steps for key in step]
    assert len(seen) == len(set(seen))
    assert set(seen) <= set(range(scenarios))
    assert scenarios - len(seen) < batch * per_pass
    assert {key.data_pass for step in steps for key in step} == {data_pass}
    assert all(len(step) == batch for step in steps)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_take_the_steps_of_one(processes: int) -> None:
    assert keys_of_pass(19, 4, seed=3, data_pass=1, processes=processes) == keys_of_pass(19, 4, seed=3, data_pass=1)


def test_the_order_is_a_function_of_seed_and_pass() -> None:
    first = keys_of_pass(40, 4, seed=1, data_pass=2)
    assert keys_of_pass(40, 4, seed=1, data_pass=2) == first
    for other in (keys_of_pass(40, 4, seed=1, data_pass=3), keys_of_pass(40, 4, seed=2, data_pass=2)):
        assert [k.index for s in other for k in s] != [k.index for s in first for k in s]


def test_a_long_pass_is_cut_into_segments_of_bounded_length() -> None:
    sampler = SegmentSampler(records=200_000, batch=8, seed=0)
    assert sampler.batches <= sampler_module.SEGMENT_BATCHES
    assert sampler.segments_per_pass * sampler.batches == 25_000
    assert SegmentSampler(records=100, batch=8, seed=0).segments_per_pass == 1


@pytest.mark.parametrize(
    ("scenarios", "batch", "processes", "said"),
    [(100, 9, 2, "step of 9: expected a multiple of the 2 processes"), (7, 8, 1, "at least the 8 records .*, got 7")],
)
def test_a_batch_that_cannot_be_filled_or_shared_is_refused(
    scenarios: int, batch: int, processes: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        SegmentSampler(scenarios, batch, 0, processes=processes)


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (2, 1), (1, 3), (2, 3)])
def test_the_parts_of_a_step_together_are_the_step(processes: int, parts: int) -> None:
    whole = keys_of_pass(30, 6, seed=3, data_pass=1)
    of_processes = []
    for rank in range(processes):
        sampler = SegmentSampler(30, 6, 3, rank, processes)
        sampler.set_epoch(1)
        keys, size = list(sampler), records_at_once(6, processes, parts)
        of_processes.append([keys[first : first + size] for first in range(0, len(keys), size)])
    for step, expected in enumerate(whole):
        of_step = [part for batches in of_processes for part in batches[step * parts : (step + 1) * parts]]
        assert [key for part in of_step for key in part] == expected


@pytest.mark.parametrize(("processes", "parts"), [(1, 4), (2, 2), (1, 0)])
def test_a_step_that_cannot_be_cut_so_is_refused(processes: int, parts: int) -> None:
    with pytest.raises(InputError, match=rf"step of 6: .* {processes} processes times accumulate={parts}"):
        records_at_once(6, processes, parts)


@pytest.mark.parametrize("segment", [0, 1, 5])
def test_the_records_of_a_step_can_be_named_afterwards(segment: int) -> None:
    with mock.patch.object(sampler_module, "SEGMENT_BATCHES", 2):
        sampler = SegmentSampler(30, 6, seed=3)
        sampler.set_epoch(segment)
        seen = [key.index for key in sampler]
        assert [index for step in range(sampler.batches) for index in sampler.indices_of(segment, step)] == seen


@settings(deadline=None, max_examples=30)
@given(
    records=st.integers(12, 60),
    share=st.integers(1, 4),
    processes=st.sampled_from([1, 2, 3]),
    repeats=st.integers(2, 4),
    data_pass=st.integers(0, 3),
)
def test_repeated_records_stand_side_by_side_and_a_pass_is_as_long_as_without(
    records: int, share: int, processes: int, repeats: int, data_pass: int
) -> None:
    batch = share * processes
    steps = keys_of_pass(records, batch, 0, data_pass, processes, repeats)
    assert [len(step) for step in steps] == [
        len(step) for step in keys_of_pass(records, batch, 0, data_pass, processes)
    ]
    drawn = sorted((key for step in steps for key in step), key=lambda key: (key.index, key.repetition))
    by_record = {index: [k.repetition for k in drawn if k.index == index] for index in {k.index for k in drawn}}
    cut_off = [found for found in by_record.values() if found != list(range(repeats))]
    assert len(cut_off) <= 1, "only the last record of a pass is cut off"
    assert all(found == list(range(len(found))) for found in cut_off)
    shuffled = np.random.default_rng((0, data_pass)).permutation(records)
    assert set(by_record) == {int(index) for index in shuffled[: len(by_record)]}


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_the_repetitions_of_a_record_go_to_different_processes(processes: int) -> None:
    ranks: dict[int, list[int]] = {}
    for rank in range(processes):
        sampler = SegmentSampler(48, 12, 0, rank, processes, repeats=3)
        sampler.set_epoch(0)
        for key in sampler:
            ranks.setdefault(key.index, []).append(rank)
    assert all(len(of) == 3 for of in ranks.values())
    assert all(len(set(of)) == min(3, processes) for of in ranks.values())


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_repeated_order_is_that_of_timms_sampler(processes: int) -> None:
    """timm repeats each record of the shuffled order, gives ranks every n-th and cuts to the length of a pass."""
    shuffled = np.random.default_rng((5, 2)).permutation(48)
    expected = np.repeat(shuffled, 3)
    for rank in range(processes):
        sampler = SegmentSampler(48, 12, 5, rank, processes, repeats=3)
        sampler.set_epoch(2)
        assert [key.index for key in sampler] == expected[rank::processes][: 48 // processes].tolist()


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_records_of_a_repeated_step_can_be_named_afterwards(repeats: int) -> None:
    for processes in (1, 2):
        steps = keys_of_pass(30, 6, 3, 0, processes, repeats)
        sampler = SegmentSampler(30, 6, 3, repeats=repeats)
        for step, keys in enumerate(steps):
            assert sorted(sampler.indices_of(0, step)) == sorted(key.index for key in keys)


def test_without_repeats_the_order_is_the_shuffled_one() -> None:
    for processes in (1, 2):
        keys = [key for step in keys_of_pass(20, 4, 7, 1, processes) for key in step]
        assert [key.index for key in keys] == np.random.default_rng((7, 1)).permutation(20).tolist()
        assert {key.repetition for key in keys} == {0}


def test_the_order_of_one_of_several_processes_is_that_of_all() -> None:
    alone = SegmentSampler(24, 6, 5, repeats=3)
    for rank in range(2):
        part, own = alone.of_process(rank, 2), SegmentSampler(24, 6, 5, rank, 2, 3)
        for segment in (0, 1):
            part.set_epoch(segment)
            own.set_epoch(segment)
            assert list(part) == list(own)
