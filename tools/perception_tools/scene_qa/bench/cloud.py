"""`perception bench cloud`: how long sampling and grouping points takes, beside Open3D and a naive version."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

RADIUS_M, NEIGHBOURS = 0.2, 64
"""Radius of VoteNet's first set abstraction."""


@dataclass(frozen=True)
class Timing:
    """How long one way of doing something took.

    Attributes:
        operation: What was done.
        by: Who did it.
        wall_ms: The fastest of the rounds.
        cpu_ms: Processor time of the fastest, of all threads.
        ratio: Processor time as a multiple of ours.
        same: Whether the result is ours; None where it follows another rule.
    """

    operation: str
    by: str
    wall_ms: float
    cpu_ms: float
    ratio: float
    same: bool | None


@dataclass(frozen=True)
class Contender:
    """One way of doing something.

    Attributes:
        operation: What is done.
        by: Who does it.
        run: Does it.
        form: Brings the result, after the clock was read, to what is compared with the first of the operation; None
            where the result follows another rule.
    """

    operation: str
    by: str
    run: Callable[[], Any]
    form: Callable[[Any], np.ndarray] | None


def bench_cloud(points: int = 40_000, centres: int = 2048, repeat: int = 3, threads: int = 1) -> dict:
    """Times farthest point sampling and ball queries on a synthetic room, all ways in turn in every round.

    Args:
        points: In the room.
        centres: Points to sample, and balls to fill.
        repeat: Rounds; of each way the fastest counts, so that other programs do not.
        threads: Number of torch's threads. Open3D's neighbour search takes all processors (see its processor time).
    """
    from perception.errors import InputError
    from perception_tools.machine import describe_machine

    if not 0 < centres <= points or repeat < 1:
        raise InputError(
            f"expected 0 < centres <= points and one round or more, got centres={centres}, points={points}, "
            f"repeat={repeat}; change the options"
        )
    import torch

    torch.set_num_threads(threads)
    cloud = torch.from_numpy(make_room(points))
    chosen = _sample(cloud, centres)
    contenders = [*_samplers(cloud, centres), *_groupers(cloud, cloud[chosen])]
    timings = _time(contenders, repeat)
    print(_as_table(timings))
    options = {"points": points, "centres": centres, "threads": threads}
    return {**options, "timings": [asdict(timing) for timing in timings], "machine": describe_machine()}


def make_room(points: int, seed: int = 0) -> np.ndarray:
    """A room of 7 m x 6 m x 2.8 m with twenty boxes in it: points on floor, walls and the boxes' faces, float32."""
    rng = np.random.default_rng(seed)
    sizes = np.concatenate([[[7.0, 6.0, 2.8]], rng.uniform([0.4, 0.4, 0.4], [2.0, 1.0, 1.2], (20, 3))])
    corners = np.concatenate([[[0.0, 0.0, 0.0]], rng.uniform([0, 0, 0], [5.0, 5.0, 0.1], (20, 3))])
    box = rng.choice(len(sizes), points, p=sizes.prod(1) ** (2 / 3) / (sizes.prod(1) ** (2 / 3)).sum())
    place = rng.uniform(size=(points, 3))
    axis = rng.integers(0, 3, points)
    place[np.arange(points), axis] = rng.integers(0, 2, points)
    return (corners[box] + place * sizes[box] + rng.normal(0, 0.005, (points, 3))).astype(np.float32)


def _sample(cloud: Tensor, count: int) -> np.ndarray:
    from perception.clouds.grouping import farthest_points

    return farthest_points(cloud[None], count)[0].numpy()


def _samplers(cloud: Tensor, count: int) -> list[Contender]:
    import torch

    from perception.clouds.grouping import farthest_points_step_by_step

    def step_by_step() -> np.ndarray:
        eligible = torch.ones(1, len(cloud), dtype=torch.bool)
        return farthest_points_step_by_step(cloud[None], count, eligible, torch.zeros(1, dtype=torch.long))[0].numpy()

    def naive() -> np.ndarray:
        nearest, chosen = torch.full((len(cloud),), torch.inf), [0]
        while len(chosen) < count:
            nearest = torch.minimum(nearest, (cloud - cloud[chosen[-1]]).square().sum(-1))
            chosen.append(int(nearest.argmax()))
        return np.array(chosen)

    def places(index: np.ndarray) -> np.ndarray:
        return cloud.double().numpy()[np.sort(index)]  # Open3D gives the points themselves, in the cloud's order

    name = f"farthest points, {len(cloud)} -> {count}"
    contenders = [
        Contender(name, "perception", lambda: _sample(cloud, count), places),
        Contender(name, "perception, as on other devices", step_by_step, places),
        Contender(name, "naive torch", naive, places),
    ]
    try:
        import open3d
    except ImportError:
        return contenders
    points = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud.double().numpy()))
    sample = partial(points.farthest_point_down_sample, count)
    return [*contenders, Contender(name, "Open3D", sample, lambda sampled: np.asarray(sampled.points))]


def _groupers(cloud: Tensor, centres: Tensor) -> list[Contender]:
    import torch

    from perception.clouds.grouping import ball_query

    def naive() -> np.ndarray:
        rows = []
        for part in centres.split(64):
            inside = (part[:, None] - cloud).square().sum(-1) < RADIUS_M**2
            index = torch.where(inside, torch.arange(len(cloud)), len(cloud))
            first = index.topk(NEIGHBOURS, largest=False).values
            rows.append(torch.where(first == len(cloud), first[:, :1], first))
        return torch.cat(rows).numpy()

    def ours() -> np.ndarray:
        return ball_query(centres[None], cloud[None], RADIUS_M, NEIGHBOURS)[0].numpy()

    name = f"ball query, {len(centres)} balls of {RADIUS_M} m"
    contenders = [
        Contender(name, "perception", ours, np.asarray),
        Contender(name, "naive torch", naive, np.asarray),
    ]
    try:
        import open3d.core as o3c
    except ImportError:
        return contenders

    def by_open3d() -> object:
        search = o3c.nns.NearestNeighborSearch(o3c.Tensor.from_numpy(cloud.numpy()))
        search.hybrid_index(RADIUS_M)
        return search.hybrid_search(o3c.Tensor.from_numpy(centres.numpy()), RADIUS_M, NEIGHBOURS)

    return [*contenders, Contender(name, "Open3D hybrid search (nearest first)", by_open3d, None)]


def _time(contenders: list[Contender], repeat: int) -> list[Timing]:
    """All in turn, so that what else the machine does meets all alike."""
    wall, cpu = np.full((2, repeat, len(contenders)), np.inf)
    results: dict[int, np.ndarray | None] = {}
    for turn in range(repeat):
        for index, contender in enumerate(contenders):
            before = time.perf_counter(), time.process_time()
            result = contender.run()
            wall[turn, index], cpu[turn, index] = time.perf_counter() - before[0], time.process_time() - before[1]
            results[index] = None if contender.form is None else contender.form(result)
    best_wall, best_cpu = 1000 * wall.min(axis=0), 1000 * cpu.min(axis=0)
    timings = []
    for index, contender in enumerate(contenders):
        first = next(i for i, other in enumerate(contenders) if other.operation == contender.operation)
        result, expected = results[index], results[first]
        same = None if result is None or expected is None else bool(np.array_equal(result, expected))
        ratio = float(best_cpu[index] / best_cpu[first])
        took = float(best_wall[index]), float(best_cpu[index])
        timings.append(Timing(contender.operation, contender.by, *took, ratio, same))
    return timings


def _as_table(timings: list[Timing]) -> str:
    lines = [f"{'operation':<34} {'by':<37} {'wall ms':>9} {'CPU ms':>9} {'x ours':>7}  same result"]
    for t in timings:
        same = "other rule" if t.same is None else "yes" if t.same else "NO"
        lines.append(f"{t.operation:<34} {t.by:<37} {t.wall_ms:>9.1f} {t.cpu_ms:>9.1f} {t.ratio:>7.1f}  {same}")
    return "\n".join(lines)
