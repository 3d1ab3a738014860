"""Passes over the pixels: the compiled ones return the values of NumPy; without numba NumPy is used."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from ponikeeper_client.fit import _passes, _profile_sums
from ponikeeper_client.fit._control_points import profile_widths
from ponikeeper_client.fit._forward_model import params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit.calibrants import calibrant
from powder import Scene, on_detector

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.12, (0.3, 0.6), (12, -7), 3e-11, orientation=2)
LINES = calibrant("LaB6").lines(TRUTH.wavelength)
BINS = 33


@pytest.fixture(scope="module")
def frame():
    return Frame.of(Scene(TRUTH, "LaB6").image(), TRUTH)


def sums_of(passes, frame):
    params = params_of(TRUTH)
    reaches = 2 * profile_widths(frame, params, LINES, 8.0, 20)  # a pixel can be near two lines
    return passes.sum_profiles(frame, params, LINES, reaches, np.full(len(LINES), 40), BINS)


def pattern_of(passes, frame):
    return passes.sum_by_radius(frame, params_of(TRUTH), 50.0)


def test_compiled_sums_are_those_of_numpy(frame):
    compiled = _passes.compiled_passes()
    assert compiled is not None, "numba is in the extra test"
    expected, result = sums_of(_profile_sums, frame), sums_of(compiled, frame)
    assert expected.counts.sum() > 10_000
    for name in ("counts", "intensities", "offsets", "azimuths"):
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pattern_of(compiled, frame), pattern_of(_profile_sums, frame), rtol=1e-9)


def test_a_pixel_between_two_lines_belongs_to_the_profiles_of_both(frame):
    alone = np.where(np.arange(len(LINES)) == 4, 6.0, 0.0)
    both = np.where(np.isin(np.arange(len(LINES)), (4, 5)), 100.0, 0.0)
    sectors = np.full(len(LINES), 1)
    counted = [
        _profile_sums.sum_profiles(frame, params_of(TRUTH), LINES, np.where(both * chosen > 0, both, 0), sectors, BINS)
        for chosen in (alone > 0, both > 0)
    ]
    np.testing.assert_array_equal(counted[1].counts[4], counted[0].counts[4])


def test_the_pattern_does_not_depend_on_how_the_coordinates_are_stored(frame):
    whole = replace(frame, y=np.ascontiguousarray(frame.y), x=np.ascontiguousarray(frame.x))
    assert whole.lattice()[0].shape != frame.lattice()[0].shape
    np.testing.assert_array_equal(pattern_of(_profile_sums, whole), pattern_of(_profile_sums, frame))


def test_without_numba_numpy_is_used(frame, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(_passes, "_COMPILED_FROM", 0)
    _passes.compiled_passes.cache_clear()
    try:
        expected, result = sums_of(_profile_sums, frame), sums_of(_passes, frame)
    finally:
        _passes.compiled_passes.cache_clear()
    np.testing.assert_array_equal(result.intensities, expected.intensities)
