"""xpdAcq's ``calibration_md``: which keys it has, and that recall reads the same geometry from it."""

import json

import pytest

from ponikeeper.geometry import Geometry
from ponikeeper_client.documents import calibration_md
from speak import GEOMETRY

FLAT = {
    "dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength", "pixel1", "pixel2", "detector", "orientation",
    "poni_version", "detector_config",
}  # fmt: skip


def made(**config):
    return calibration_md(Geometry(**GEOMETRY, detector_config=config))


def test_keys_are_those_of_pyfai_in_both_of_its_forms():
    written = made(max_shape=[2048, 2048])
    assert written.keys() == FLAT | {"max_shape"}
    assert {name: written[name] for name in GEOMETRY} == GEOMETRY
    assert written["poni_version"] == 2.1
    nested = {"pixel1": 2e-4, "pixel2": 2e-4, "orientation": 3, "max_shape": [2048, 2048]}
    assert written["detector_config"] == nested
    assert json.loads(json.dumps(written)) == written


def test_orientation_that_is_not_given_is_the_default_of_pyfai():
    assert (made()["orientation"], made(orientation=2)["orientation"]) == (3, 2)


@pytest.mark.parametrize(
    ("config", "parallax"), [({"sensor": {"material": "Si"}}, False), ({"sensor": {}, "parallax": True}, True)]
)
def test_sensor_needs_the_newer_form(config, parallax):
    written = made(**config)
    assert (written["poni_version"], written["parallax"]) == (3, parallax)
    assert "parallax" not in written["detector_config"]
