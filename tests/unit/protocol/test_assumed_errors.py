"""The errors that a fit assumes, as an object of JSON."""

import pytest

from ponikeeper.protocol.assumed_errors import DEFAULT_ERRORS, LIMITS, AssumedErrors, is_allowed


def test_errors_survive_as_json_object():
    errors = AssumedErrors(0.001, 0.05, 0.25)
    assert AssumedErrors.parse(errors.as_dict()) == errors


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (None, DEFAULT_ERRORS),
        ("0.1", DEFAULT_ERRORS),
        ({"wavelength": 0.01, "colour": 7}, AssumedErrors(wavelength=0.01)),
        ({"wavelength": -1, "distortion": True, "distortion_length": "0.2"}, DEFAULT_ERRORS),
        ({"distortion": 0}, AssumedErrors(distortion=0.0)),
    ],
)
def test_what_is_missing_or_not_allowed_is_the_default(values, expected):
    assert AssumedErrors.parse(values) == expected


def test_defaults_are_allowed():
    assert all(is_allowed(name, value) for name, value in DEFAULT_ERRORS.as_dict().items())
    assert set(DEFAULT_ERRORS.as_dict()) == set(LIMITS)
