"""Peaks of a pattern are those of `scipy.signal.find_peaks`."""

import numpy as np
import pytest
from scipy.signal import find_peaks as theirs

from ponikeeper_client.fit._peaks import find_peaks


def patterns():
    random = np.random.default_rng(0)
    grid = np.arange(600)
    rings = sum(height * np.exp(-0.5 * ((grid - at) / 2) ** 2) for at, height in ((50, 9), (57, 30), (300, 4)))
    yield "noise", random.normal(0, 1, 500)
    yield "rings", rings + random.normal(0, 0.3, 600)
    yield "few values, flat tops", random.integers(0, 4, 800).astype(float)
    yield "flat", np.zeros(50)
    yield "one step", np.r_[np.zeros(20), np.ones(20)]
    yield "peak at the edge", np.exp(-np.arange(40) / 4.0)
    yield "wide", np.exp(-0.5 * ((grid - 300) / 60) ** 2) + 0.01 * random.normal(size=600)


@pytest.mark.parametrize(("name", "values"), list(patterns()), ids=lambda item: item if isinstance(item, str) else "")
@pytest.mark.parametrize("prominence", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("width", [2.0, 6.0, 100.0])
def test_same_peaks_as_scipy(name, values, prominence, width):
    expected, properties = theirs(values, prominence=prominence, width=(0, width))
    index, height = find_peaks(values, prominence, width)
    assert index.tolist() == expected.tolist()
    assert height == pytest.approx(properties["prominences"])
