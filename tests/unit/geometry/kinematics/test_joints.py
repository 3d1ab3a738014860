"""Joints: axes, and what the beam says."""

import numpy as np
import pytest

from ponikeeper.geometry.kinematics.joints import Beam, Rotate


@pytest.mark.parametrize(("about", "axis"), [(1, (1, 0.02, -0.03)), (2, (-0.03, 1, 0.02)), (3, (0.02, -0.03, 1))])
def test_axis_is_nearly_a_lab_axis_and_tilts_in_cyclic_order(about, axis):
    joint = Rotate("tth", "deg", 1.0, about, (0.02, -0.03))
    assert np.linalg.norm(joint.axis) == pytest.approx(1, abs=1e-15)
    assert joint.axis == pytest.approx(axis, abs=1e-3)


def test_wavelength_is_proportional_to_a_wavelength_and_to_the_inverse_of_an_energy():
    assert Beam("e", "keV").wavelength(1e-11, 70.0, 140.0) == pytest.approx(5e-12)
    assert Beam("w", "m", "wavelength").wavelength(1e-11, 2e-11, 4e-11) == pytest.approx(2e-11)
