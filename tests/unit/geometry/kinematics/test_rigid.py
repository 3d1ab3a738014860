"""Rigid motion: the pose of a geometry and back, and small displacements."""

import random

import numpy as np
import pytest

import chains
from ponikeeper.errors import GeometryError
from ponikeeper.geometry.kinematics.rigid import Displacement, Pose, turn_about

POINTS = np.array([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0], [0.1, 0.3, 0.0]])


def values(seed):
    source = random.Random(seed)
    return (source.uniform(0.05, 2), *(source.uniform(-0.5, 0.5) for _ in range(2)), source.uniform(-3, 3),
            source.uniform(-1.5, 1.5), source.uniform(-3, 3))  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_pose_is_where_pyfai_has_the_pixels_and_has_its_values(seed):
    pose = Pose.of(values(seed))
    at = POINTS @ np.array(pose.rotation).T + np.array(pose.origin)
    assert np.abs(at - chains.lab_points(values(seed), POINTS)).max() < 1e-14
    assert pose.values() == pytest.approx(values(seed), abs=1e-13)


def test_turn_is_right_handed():
    assert np.allclose(np.array(turn_about((0.0, 0.0, 1.0), np.pi / 2)) @ [1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize("seed", range(10))
def test_slopes_of_a_displacement_are_those_of_a_small_motion(seed):
    source, pose, step = random.Random(seed), Pose.of(values(seed)), 1e-6
    shift, turn = (tuple(source.uniform(-1, 1) for _ in range(3)) for _ in range(2))

    def moved(size):
        length = float(np.linalg.norm(turn))
        small = np.array(turn_about(tuple(np.array(turn) / length), length * size))
        rotation = small @ np.array(pose.rotation)
        return Pose(
            tuple(map(tuple, rotation.tolist())), tuple((np.array(pose.origin) + np.array(shift) * size).tolist())
        )

    # the origin is displaced by the shift, whatever the rotation does about it
    by_difference = (np.array(moved(step).values()) - np.array(moved(-step).values()))[:5] / (2 * step)
    assert pose.slopes(Displacement(shift, turn)) == pytest.approx(by_difference, abs=1e-7)


def test_slopes_at_90_degrees_of_rot2_are_refused():
    with pytest.raises(GeometryError, match="rot2 is 90 degrees"):
        Pose.of((0.5, 0.0, 0.0, 0.1, np.pi / 2, 0.0)).slopes(Displacement((0.0, 0.0, 1.0)))
