from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.clouds.records import Clouds


class Drawn:
    is_drawn = True

    def read(self, row: int, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=(5 + row, 3)).astype(np.float32)


def clouds(*labels: int) -> Clouds:
    ids = [f"c{i}" for i in range(len(labels))]
    return Clouds(Path("data"), "train", "made", ("a", "b"), ids, np.array(labels), np.arange(len(labels)), Drawn())


def test_a_draw_is_a_function_of_its_number_and_the_clouds_name() -> None:
    of = clouds(0, 0, 1)
    first = of.decode(of[0])
    assert np.array_equal(first.points, of.decode(of[0], 0).points)
    assert not np.array_equal(first.points, of.decode(of[0], 1).points)
    assert not np.array_equal(first.points[:2], of.decode(of[1]).points[:2])
    kept = of.subset(np.array([1, 2]))
    assert np.array_equal(kept.decode(kept[0]).points, of.decode(of[1]).points)


def test_a_limit_takes_evenly_from_the_classes() -> None:
    assert [record.id for record in clouds(0, 0, 0, 1, 1).limited(3)] == ["c0", "c1", "c3"]
    assert len(clouds(0, 1).limited(None)) == 2
    with pytest.raises(InputError, match="limit 0: expected at least 1 cloud"):
        clouds(0, 1).limited(0)


def test_records_say_class_and_row() -> None:
    record = clouds(0, 1)[1]
    assert (record.id, record.label, record.class_name, record.row) == ("c1", 1, "b", 1)


def test_a_split_travels_to_other_processes() -> None:
    of = clouds(0, 1)
    sent = pickle.loads(pickle.dumps(of))
    assert np.array_equal(sent.decode(sent[1]).points, of.decode(of[1]).points)
