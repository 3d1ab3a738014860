"""The Fit2D view and the energy of a geometry are those that pyFAI computes."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from strategies import VALUES, geometries, numbers

tilts = numbers("rot1", -1.5, 1.5) | st.floats(-1e-6, 1e-6) | st.just(0.0)


@settings(max_examples=200)
@given(geometries(rot1=tilts, rot2=tilts, detector_config=st.just({"orientation": 3})))
@example(Geometry(**VALUES))
@example(Geometry(**(VALUES | {"rot1": 0.0, "rot2": 0.0})))
@example(Geometry(**(VALUES | {"rot1": 0.0, "rot2": 1.7e-7})))
def test_fit2d_view_is_that_of_pyfai(geometry):
    pytest.importorskip("pyFAI", reason="compared with pyFAI: install [fit]")
    from pyFAI.detectors import Detector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    detector = Detector(pixel1=geometry.pixel1, pixel2=geometry.pixel2, orientation=3)
    numbers_of = {name: getattr(geometry, name) for name in PARAMETERS if not name.startswith("pixel")}
    theirs = AzimuthalIntegrator(detector=detector, **numbers_of).getFit2D()
    ours = geometry.fit2d
    assert ours.direct_dist == pytest.approx(theirs["directDist"], rel=1e-12)
    assert ours.tilt == pytest.approx(theirs["tilt"], rel=1e-12)
    assert ours.tilt_plane == pytest.approx(theirs["tiltPlanRotation"], rel=1e-12)
    assert ours.beam_x == pytest.approx(theirs["centerX"], rel=1e-12)
    # Below 1e-5 degrees pyFAI gives the PONI for the beam along y (but not along x); ours goes on smoothly, so that
    # the two may differ by what that tilt moves the beam: 1.7 micrometres at 10 m.
    jump = math.tan(math.radians(1e-5)) * geometry.dist / geometry.pixel1 if theirs["tilt"] < 1e-5 else 0.0
    assert ours.beam_y == pytest.approx(theirs["centerY"], rel=1e-12, abs=jump)


@given(numbers("wavelength"))
def test_energy_is_that_of_pyfai(wavelength):
    units = pytest.importorskip("pyFAI.units", reason="compared with pyFAI: install [fit]")
    geometry = Geometry(**(VALUES | {"wavelength": wavelength}))
    assert geometry.wavelength_angstrom == pytest.approx(wavelength * 1e10, rel=1e-15)
    assert geometry.energy == pytest.approx(units.hc / (wavelength * 1e10), rel=1e-15)
