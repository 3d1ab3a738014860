"""Passes over the pixels: the compiled ones return the values of NumPy; without numba NumPy is used."""

import importlib.util

import numpy as np
import pytest

from ponikeeper_client.fit import _passes
from ponikeeper_client.fit._control_points import profile_widths
from ponikeeper_client.fit._forward_model import params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._profile_sums import sum_by_numpy
from ponikeeper_client.fit.calibrants import calibrant
from powder import Scene, on_detector

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.12, (0.3, 0.6), (12, -7), 3e-11, orientation=2)
LINES = calibrant("LaB6").lines(TRUTH.wavelength)
BINS = 33


@pytest.fixture(scope="module")
def frame():
    return Frame.of(Scene(TRUTH, "LaB6").image(), TRUTH)


def sums_of(summing, frame):
    params = params_of(TRUTH)
    widths = profile_widths(frame, params, LINES, 8.0, 20)
    return summing(frame, params, LINES, widths, np.full(len(LINES), 40), BINS)


def test_compiled_sums_are_those_of_numpy(frame):
    compiled = _passes.compiled_summing()
    assert compiled is not None, "numba is in the extra test"
    expected, result = sums_of(sum_by_numpy, frame), sums_of(compiled, frame)
    assert expected.counts.sum() > 10_000
    for name in ("counts", "intensities", "offsets", "azimuths"):
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=1e-9, atol=1e-9)


def test_without_numba_numpy_is_used(frame, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(_passes, "_COMPILED_FROM", 0)
    _passes.compiled_summing.cache_clear()
    try:
        expected, result = sums_of(sum_by_numpy, frame), sums_of(_passes.sum_profiles, frame)
    finally:
        _passes.compiled_summing.cache_clear()
    np.testing.assert_array_equal(result.intensities, expected.intensities)
