import numpy as np
import pytest

from perception_datasets.procedural.truth import STEPS, Truth, Unusable, check_plausible


def two_cars(gap_m: float, speed: np.ndarray | None = None, kind: str = "vehicle") -> Truth:
    """Returns two cars in a row that drive east at 10 m/s or the given speeds."""
    speeds = np.full(STEPS, 10.0) if speed is None else speed
    x = np.cumsum(speeds) * 0.1
    position = np.zeros((2, STEPS, 2))
    position[0, :, 0], position[1, :, 0] = x, x + gap_m
    velocity = np.zeros((2, STEPS, 2))
    velocity[..., 0] = speeds
    size = np.array([[4.7, 1.9], [4.7, 1.9]])
    return Truth(["vehicle", kind], size, position, np.zeros((2, STEPS)), velocity, np.ones((2, STEPS), bool))


def test_two_cars_with_room_between_them_are_plausible() -> None:
    check_plausible(two_cars(gap_m=6.0))


@pytest.mark.parametrize("kind", ["vehicle", "pedestrian"])
def test_a_car_that_touches_another_agent_is_implausible(kind: str) -> None:
    with pytest.raises(Unusable):
        check_plausible(two_cars(gap_m=4.5, kind=kind))


def test_absent_agents_do_not_collide() -> None:
    truth = two_cars(gap_m=4.5)
    truth.present[1] = False
    check_plausible(truth)


def test_a_car_that_stops_within_a_tenth_of_a_second_is_implausible() -> None:
    with pytest.raises(Unusable):
        check_plausible(two_cars(gap_m=30.0, speed=np.where(np.arange(STEPS) < 60, 10.0, 0.0)))
