"""The direct beam on an image is where pyFAI has no scattering angle, in each orientation."""

import dataclasses

import numpy as np
import pytest

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.beam import beam_on_image
from ponikeeper_client.documents import azimuthal_integrator
from speak import GEOMETRY

TILTED = Geometry(**{**GEOMETRY, "rot1": 0.02, "rot2": -0.03, "rot3": 0.1})
DETECTORS = {
    "known": ("Pilatus1M", 172e-6, {}, (1043, 981)),
    "binned": ("Perkin", 400e-6, {}, (1024, 1024)),
    "generic": ("Detector", 1e-4, {"max_shape": [2000, 3000]}, (2000, 3000)),
    "with its shape": ("Pilatus1M", 172e-6, {"max_shape": [1043, 981]}, (1043, 981)),
}


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
@pytest.mark.parametrize("detector", DETECTORS)
def test_beam_is_where_pyfai_has_no_angle(detector, orientation):
    name, pixel, config, shape = DETECTORS[detector]
    geometry = dataclasses.replace(
        TILTED, detector=name, pixel1=pixel, pixel2=pixel, detector_config={**config, "orientation": orientation}
    )
    x, y = beam_on_image(geometry)
    integrator = azimuthal_integrator(geometry, shape=shape)
    angle = integrator.tth(np.array([y - 0.5]), np.array([x - 0.5]))  # pyFAI counts from the middle of a pixel
    assert angle[0] == pytest.approx(0.0, abs=1e-8)


def test_beam_of_an_image_whose_shape_is_unknown_is_unknown_where_it_is_turned():
    geometry = dataclasses.replace(TILTED, detector="Detector", detector_config={"orientation": 2})
    assert beam_on_image(geometry) is None
    assert beam_on_image(dataclasses.replace(geometry, detector_config={})) == (
        pytest.approx(TILTED.fit2d.beam_x),
        pytest.approx(TILTED.fit2d.beam_y),
    )
    assert beam_on_image(dataclasses.replace(geometry, rot1=1.6, detector_config={})) is None
