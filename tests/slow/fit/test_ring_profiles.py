"""Ring profiles: those of a pass at other parameters, moved, give the geometry of a pass at these."""

import numpy as np
import pytest

from ponikeeper_client.fit._control_points import control_points, profile_widths
from ponikeeper_client.fit._forward_model import params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import refine
from ponikeeper_client.fit._ring_profiles import RingProfiles
from ponikeeper_client.fit._settle import panel_difference
from ponikeeper_client.fit.calibrants import calibrant
from powder import Scene, on_detector

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.12, (0.3, 0.6), (12, -7), 3e-11, orientation=2)
PARAMS = params_of(TRUTH)
LINES = calibrant("LaB6").lines(TRUTH.wavelength)
SMALL, LARGE = (np.array([size * 1e-3 * PARAMS[0], size * 2e-4, -size * 1e-4, size * 1e-3, 0]) for size in (1, 20))
"""Displacements by about 1 px, and by about 20."""


@pytest.fixture(scope="module")
def frame():
    return Frame.of(Scene(TRUTH, "LaB6", counts=1000).image(), TRUTH)


@pytest.fixture(scope="module")
def widths(frame):
    return profile_widths(frame, PARAMS, LINES, 6.0, 20)


def test_moved_profiles_give_the_same_geometry(frame, widths):
    there = RingProfiles.measure(frame, PARAMS + SMALL, LINES, widths)
    assert 0.5 < np.abs(there.at(PARAMS).shift).max() < 3
    expected = control_points(RingProfiles.measure(frame, PARAMS, LINES, widths), PARAMS, widths)
    result = control_points(there, PARAMS, widths)
    assert abs(len(result) - len(expected)) < 0.02 * len(expected)
    ends = [refine(PARAMS, points, LINES, frame.pixel).params for points in (result, expected)]
    assert panel_difference(frame, *ends) < 0.02


def test_profiles_serve_parameters_nearby_and_no_others(frame, widths):
    profiles = RingProfiles.measure(frame, PARAMS, LINES, widths)
    assert profiles.serve(PARAMS, widths)
    assert profiles.serve(PARAMS + SMALL, widths)
    assert not profiles.serve(PARAMS + SMALL, widths, farthest=0.1)
    assert not profiles.serve(PARAMS + LARGE, widths)


def test_profiles_do_not_serve_a_line_that_was_not_measured(frame, widths):
    ring = np.flatnonzero(widths)[2]
    profiles = RingProfiles.measure(frame, PARAMS, LINES, np.where(np.arange(len(LINES)) == ring, 0, widths))
    assert not profiles.serve(PARAMS, widths)
    assert profiles.serve(PARAMS, np.where(np.arange(len(LINES)) == ring, 0, widths))
