"""Values from the mappings that pyFAI's integrator returns."""

import pytest

from ponikeeper.geometry.pyfai_values import plain_values

OPTIONS = {"orientation": 2, "max_shape": [2, 3]}
NUMBERS = {"dist": 0.2, "poni1": 0.1, "poni2": 0.11, "rot1": 0.01, "rot2": 0.02, "rot3": 0.0, "wavelength": 1e-11}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"detector": "Perkin", "pixel1": 4e-4, "pixel2": 4e-4, "orientation": 2, **OPTIONS},
            {
                "detector": "Perkin",
                "pixel1": 4e-4,
                "pixel2": 4e-4,
                "detector_config": {"orientation": 2, "max_shape": [2, 3]},
            },
        ),
        (
            {
                "poni_version": 2.1,
                "detector": "Own",
                "detector_config": {"pixel1": 1e-4, "pixel2": 2e-4, "orientation": 1},
            },
            {"detector": "Own", "pixel1": 1e-4, "pixel2": 2e-4, "detector_config": {"orientation": 1}},
        ),
        (  # pixels that are not within the configuration are those that pyFAI knows
            {"detector": "Pilatus1M", "detector_config": {}},
            {"detector": "Pilatus1M", "pixel1": 172e-6, "pixel2": 172e-6, "detector_config": {}},
        ),
        ({"detector": "Pilatus1M"}, {"detector": "Pilatus1M", "detector_config": {}}),
        (
            {"detector": None, "detector_config": {"pixel1": 1e-4, "pixel2": None, "max_shape": None}},
            {"detector": "Detector", "pixel1": 1e-4, "detector_config": {}},
        ),
    ],
)
def test_nested_and_flat_mappings_have_the_same_values(given, expected):
    assert plain_values({**NUMBERS, **given}) == {**NUMBERS, **expected}


def test_option_that_is_no_json_is_an_error():
    with pytest.raises((TypeError, ValueError)):
        plain_values({**NUMBERS, "detector_config": {"sensor": object()}})
