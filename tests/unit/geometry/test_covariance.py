"""Which numbers can be a covariance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponikeeper.geometry.covariance import is_covariance


def lower(matrix):
    return np.asarray(matrix)[np.tril_indices(len(matrix))].tolist()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([], True),
        ([[0.0]], True),
        ([[-1e-30]], False),
        ([[1.0, 0.0], [0.0, 0.0]], True),
        ([[1.0, 1e-9], [1e-9, 0.0]], False),
        ([[1.0, 1.0], [1.0, 1.0]], True),
        ([[1.0, 1.01], [1.01, 1.0]], False),
        ([[1e-12, -0.999999e-10], [-0.999999e-10, 1e-8]], True),
        ([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]], False),
        ([[float("inf")]], False),
    ],
)
def test_examples(matrix, expected):
    assert is_covariance(lower(matrix) if matrix else []) == expected


def test_wrong_number_of_values_is_none():
    assert not is_covariance([1.0, 0.0])


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 11), rank=st.integers(1, 11))
def test_every_covariance_is_one_and_with_a_negative_direction_it_is_none(seed, size, rank):
    random = np.random.default_rng(seed)
    scales = 10.0 ** random.uniform(-8, 2, size)
    root = random.normal(size=(size, rank))
    matrix = (root @ root.T) * np.outer(scales, scales)
    assert is_covariance(lower(matrix))
    correlation = matrix / np.sqrt(np.outer(matrix.diagonal(), matrix.diagonal()))
    values, vectors = np.linalg.eigh(correlation)
    negative = correlation - (values[0] + 0.01) * np.outer(vectors[:, 0], vectors[:, 0])
    deviations = np.sqrt(matrix.diagonal())
    assert not is_covariance(lower(negative * np.outer(deviations, deviations)))
