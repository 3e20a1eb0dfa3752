import numpy as np
import pytest

from perception.scenes.classes import NYU40
from perception_datasets.rooms.furniture import KINDS, Kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_parts_of_an_item_fill_its_size_and_no_more(kind: Kind) -> None:
    for w, d, h in zip(kind.width_m, kind.depth_m, kind.height_m, strict=True):
        parts = kind.build(w, d, h)
        low, high = np.array([p.low for p in parts]), np.array([p.high for p in parts])
        assert (low < high).all()
        np.testing.assert_allclose([low[:, 0].min(), high[:, 0].max()], [-w / 2, w / 2], atol=1e-9)
        assert low[:, 1].min() == pytest.approx(0.0, abs=0.03)
        assert high[:, 1].max() == pytest.approx(d, abs=0.06)  # handles stick out
        assert low[:, 2].min() >= 0
        assert high[:, 2].max() >= h - 0.01


def test_every_kind_has_a_class_and_a_name_of_its_own() -> None:
    assert len({kind.nyu40 for kind in KINDS}) == len(KINDS)
    assert all(NYU40[kind.nyu40] == kind.name for kind in KINDS)
