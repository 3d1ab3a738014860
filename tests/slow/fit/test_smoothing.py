"""Smoothing: the filters of scipy; wide ones to a small part of the variation."""

import numpy as np
import pytest
from scipy import ndimage

from ponikeeper_client.fit._smoothing import derivatives, smooth, sum_of_blocks

IMAGE = np.random.default_rng(0).normal(size=(217, 150)).astype(np.float32)


@pytest.mark.parametrize("width", [1.3, 2.6, 4.9])
def test_smoothing_is_that_of_scipy(width):
    np.testing.assert_allclose(smooth(IMAGE, width), ndimage.gaussian_filter(IMAGE, width), atol=1e-5)


@pytest.mark.parametrize("width", [5.2, 13, 32, 128])
def test_a_wide_gaussian_is_nearly_that_of_scipy(width):
    counts = 20 + np.arange(150, dtype=np.float32) / 10 + 3 * IMAGE
    expected = ndimage.gaussian_filter(counts, width)
    assert smooth(counts, width).shape == counts.shape
    np.testing.assert_allclose(smooth(counts, width), expected, rtol=0.03)


@pytest.mark.parametrize("order", [(1, 0), (0, 1), (2, 0), (0, 2), (1, 1)])
def test_derivatives_are_those_of_scipy(order):
    expected = ndimage.gaussian_filter(IMAGE, 1.3, order=order)
    np.testing.assert_allclose(derivatives(IMAGE, 1.3)[order], expected, atol=1e-5)


def test_blocks_are_summed_and_the_rest_is_dropped():
    np.testing.assert_array_equal(sum_of_blocks(np.arange(15).reshape(3, 5), 2), [[0 + 1 + 5 + 6, 2 + 3 + 7 + 8]])
