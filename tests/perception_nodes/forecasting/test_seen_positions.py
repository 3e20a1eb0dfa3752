import numpy as np

from perception_nodes.forecasting.seen_positions import SeenPositions, interpolate, steps_since_first


def test_positions_are_those_that_were_put_and_nan_elsewhere() -> None:
    seen = SeenPositions(count=4, ticks=3)
    for stamp, ids in enumerate((["a", "b"], ["b"], ["b", "c"], ["c", "b"])):
        slots = seen.place(stamp, 0, ids)
        seen.put(slots, np.array([[stamp, ord(name)] for name in ids], dtype=float))
    of_b = seen.last(3, seen.place(9, 0, ["b"]), np.array([0, 2]))
    np.testing.assert_array_equal(of_b[:, 0], [[1, ord("b")], [3, ord("b")]])
    of_a = seen.last(3, seen.place(9, 0, ["a"]), np.arange(3))
    assert np.isnan(of_a).all()


def test_a_slot_is_given_away_only_when_no_kept_tick_has_its_object() -> None:
    seen = SeenPositions(count=2, ticks=3)
    first = seen.place(1, 1, ["a", "b"])
    assert seen.place(2, 1, ["c"]).tolist() == [-1]
    (slot,) = seen.place(3, 2, ["c"])  # nobody asks for the first tick any longer
    assert slot in first
    seen.clear()
    assert (seen.place(4, 4, ["x", "y"]) >= 0).all()


def test_steps_are_counted_in_a_stream_of_10_hz_and_else_the_time_passes() -> None:
    counted = np.cumsum([10**9, 101_000_000, 99_000_000, 199_000_000])
    np.testing.assert_array_equal(steps_since_first(counted), [0, 1, 2, 4])
    irregular = np.cumsum([10**9, 130_000_000, 20_000_000])
    np.testing.assert_allclose(steps_since_first(irregular), [0, 1.3, 1.5])


def test_a_position_between_ticks_lies_on_the_line_between_them_unless_they_are_too_far_apart() -> None:
    coordinates = np.array([0.0, 0.7, 2.1, 6.0])
    seen = np.stack([coordinates, -coordinates], axis=1)[:, None].repeat(2, axis=1)
    seen[1, 1] = np.nan  # the second object flickers
    found = interpolate(coordinates, seen, np.array([1, 2, 4, 6]), longest_bridge=2.0)
    np.testing.assert_allclose(found[[0, 1, 3], 0, 0], [1, 2, 6])
    assert np.isnan(found[2, 0]).all()
    assert np.isnan(found[:3, 1]).all()
    np.testing.assert_allclose(found[3, 1], [6, -6])
    wider = interpolate(coordinates, seen, np.array([1, 2, 4, 6]), longest_bridge=4.0)
    np.testing.assert_allclose(wider[..., 0], np.array([1.0, 2, 4, 6])[:, None].repeat(2, axis=1))


def test_an_object_is_unknown_before_it_is_first_and_after_it_is_last_seen() -> None:
    seen = np.full((4, 1, 2), np.nan)
    seen[1:3] = 5.0
    found = interpolate(np.arange(4.0), seen, np.arange(4), longest_bridge=3.0)
    np.testing.assert_array_equal(np.isnan(found[:, 0, 0]), [True, False, False, True])
