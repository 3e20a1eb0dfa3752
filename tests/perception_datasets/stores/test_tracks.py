from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.traffic.motion import causal_heading, causal_velocity
from perception_datasets.stores.tracks import from_integers, to_integers

PRESENT = 11
SHAPE = (4, 20)
any_number = st.floats(width=64, allow_nan=True, allow_infinity=True)


def restored(tracks: dict[str, np.ndarray], valid: np.ndarray) -> dict[str, np.ndarray]:
    integers, known = to_integers(**tracks, valid=valid, present=PRESENT)
    for name, values in integers.items():
        assert values.shape == tracks[name].shape
    return from_integers(integers, valid, PRESENT, known)


def assert_same_bits(tracks: dict[str, np.ndarray], valid: np.ndarray) -> None:
    for name, values in restored(tracks, valid).items():
        assert values.tobytes() == tracks[name].tobytes(), name


def made(seed: int, unit: float | None = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Tracks as Argoverse 1's reader gives them, with positions that are multiples of a unit."""
    rng = np.random.default_rng(seed)
    valid = rng.random(SHAPE) < 0.8
    position = 500.0 + np.cumsum(rng.normal(0.5, 0.3, (*SHAPE, 2)), axis=1)
    position = (np.rint(position * unit) / unit if unit else position) * valid[..., None]
    heading = causal_heading(position, valid, PRESENT)[0]
    velocity = causal_velocity(position, valid, PRESENT)
    return {"position": position, "heading": heading, "velocity": velocity}, valid


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_the_tracks_hold_comes_back_to_the_bit(data: st.DataObject) -> None:
    valid = data.draw(hnp.arrays(bool, (2, 4)))
    arrays = hnp.arrays(np.float64, (2, 4, 2), elements=any_number)
    position, velocity = data.draw(arrays), data.draw(arrays)
    if data.draw(st.booleans()):
        position[~valid] = velocity[~valid] = 0.0
    tracks = {"position": position, "heading": velocity[..., 0].copy(), "velocity": velocity}
    with np.errstate(all="ignore"):
        integers, known = to_integers(**tracks, valid=valid, present=1)
        found = from_integers(integers, valid, 1, known)
    for name, values in found.items():
        assert values.tobytes() == tracks[name].tobytes(), name


@pytest.mark.parametrize("unit", [1e3, 1e6, None])
def test_estimated_headings_and_velocities_leave_next_to_nothing(unit: float | None) -> None:
    tracks, valid = made(1, unit)
    assert_same_bits(tracks, valid)
    integers, known = to_integers(**tracks, valid=valid, present=PRESENT)
    position = {1e3: 3, 1e6: 6, None: "bits"}[unit]
    assert known["forms"] == {"position": position, "heading": "estimated", "velocity": "estimated"}
    assert not integers["velocity"].any()
    assert not integers["heading"].any()
    count = int(valid.sum())
    assert not integers["position"].ravel()[2 * count :].any()


@pytest.mark.parametrize("decimals", range(1, 8))
def test_numbers_of_few_decimals_are_counted_in_their_last(decimals: int) -> None:
    tracks, valid = made(3, 10.0**decimals)
    assert_same_bits(tracks, valid)
    assert to_integers(**tracks, valid=valid, present=PRESENT)[1]["forms"]["position"] == decimals


def test_headings_that_do_not_follow_from_positions_are_kept_beside_those_that_do() -> None:
    tracks, valid = made(6, 1e3)
    tracks["position"][0] = np.where(valid[0, :, None], tracks["position"][0, :1], 0.0)  # it stands
    tracks["heading"], known = causal_heading(tracks["position"], valid, PRESENT)
    tracks["velocity"] = causal_velocity(tracks["position"], valid, PRESENT)
    assert not known[0].any()
    tracks["heading"][0, valid[0]] = 1.25  # the lane's
    assert_same_bits(tracks, valid)
    assert to_integers(**tracks, valid=valid, present=PRESENT)[1]["forms"]["heading"] == "estimated"


def test_measured_headings_and_velocities_are_kept_as_they_are() -> None:
    tracks, valid = made(2, 1e3)
    rng = np.random.default_rng(3)
    tracks["heading"] = tracks["heading"] + np.where(valid, rng.normal(size=SHAPE), 0.0)
    tracks["velocity"] = tracks["velocity"] + np.where(valid[..., None], rng.normal(size=(*SHAPE, 2)), 0.0)
    assert_same_bits(tracks, valid)
    _, known = to_integers(**tracks, valid=valid, present=PRESENT)
    assert known["forms"] == {"position": 3, "heading": "bits", "velocity": "bits"}


def test_unobserved_steps_that_are_not_zero_are_kept() -> None:
    tracks, valid = made(4, 1e3)
    tracks["position"] = np.where(valid[..., None], tracks["position"], -0.0)
    assert_same_bits(tracks, valid)
    nobody = {name: values[:0] for name, values in tracks.items()}
    assert_same_bits(nobody, valid[:0])
    assert_same_bits({name: np.zeros_like(values) for name, values in tracks.items()}, np.zeros_like(valid))


def test_the_stored_form_of_a_track_stays_what_it_is() -> None:
    """Stores that were written before must still be read: a change here is a new version of the store."""
    position = np.array([[[1.0, 2.0], [2.125, 2.0], [3.5, 2.5]]])
    valid = np.ones((1, 3), bool)
    heading, _ = causal_heading(position, valid, 1)
    tracks = {"position": position, "heading": heading, "velocity": causal_velocity(position, valid, 1)}
    integers, known = to_integers(**tracks, valid=valid, present=1)
    assert integers["position"].ravel().tolist() == [2000, 2250, 2750, 4000, 0, 1000]
    assert known == {"forms": {"position": 3, "heading": "estimated", "velocity": "estimated"}, "all": False}
