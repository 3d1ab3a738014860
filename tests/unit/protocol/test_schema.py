"""The provenance of a commit: what its keys may hold."""

import json

import pytest

from ponikeeper.errors import MessageError
from ponikeeper.protocol import parse_request

ALLOWED = {
    "covariance": {"names": ["dist", "wavelength"], "lower": [1e-12, -1e-23, 1e-27]},
    "accuracy_deg": 0.01,
    "mask_array": {"shape": [2048, 1024], "sha256": "0123456789abcdef" * 4},
    "uncertainty_px": 0.1,
    "distortion_px": 0.12,
    "assumed": {"wavelength": 0.005, "distortion": 0.1},
    "preferred_wavelength": {"wavelength": 1.67e-11, "sigma": 1e-14},
    "valid_within": {"y": 0.1, "x": 0.1, "radius": 0.05},
}

REFUSED = [
    {"covariance": {"names": ["dist", "wavelength"], "lower": [1e-12, 1e-27]}},
    {"covariance": {"names": ["dist", "dist"], "lower": [1e-12, 0, 1e-12]}},
    {"covariance": {"names": ["depth"], "lower": [1e-12]}},
    {"covariance": {"names": ["dist"], "lower": [-1e-12]}},
    {"covariance": {"names": ["dist", "wavelength"], "lower": [1e-12, 2e-12, 1e-12]}},
    {"covariance": {"names": [], "lower": []}},
    {"covariance": {"names": ["dist"], "lower": ["1"]}},
    {"covariance": [1.0]},
    {"accuracy_deg": -0.01},
    {"mask_array": {"shape": [2048, 1024]}},
    {"mask_array": {"shape": [2048], "sha256": "a" * 64}},
    {"mask_array": {"shape": [2048, 0], "sha256": "a" * 64}},
    {"mask_array": {"shape": 2048, "sha256": "a" * 64}},
    {"mask_array": {"shape": [2048, 1024], "sha256": "A" * 64}},
    {"mask_array": "a" * 64},
    {"assumed": {"wavelength": 2}},
    {"assumed": {"colour": 2}},
    {"preferred_wavelength": 1.6e-11},
    {"valid_within": {"radius": 0.05}},
]


def commit(provenance):
    return json.dumps({"v": 1, "request": "a", "op": "commit", "geometry": {}, "provenance": provenance})


def test_certainty_of_a_fit_is_allowed():
    assert parse_request(commit(ALLOWED)).provenance == ALLOWED


@pytest.mark.parametrize("provenance", REFUSED, ids=str)
def test_what_is_no_certainty_is_refused_with_its_key(provenance):
    with pytest.raises(MessageError, match=f'"provenance.{next(iter(provenance))}": .* is not allowed: expected'):
        parse_request(commit(provenance))
