"""What is known of a detector by its name."""

import pytest

from ponikeeper.geometry.detectors import panel_shape


@pytest.mark.parametrize(
    ("name", "pixels", "shape"),
    [
        ("Perkin", (2e-4, 2e-4), (2048, 2048)),
        ("perkin_detector", (4e-4, 2e-4), (1024, 2048)),
        ("Pilatus 1M", (1.7206e-4, 1.7196e-4), (1043, 981)),  # refined
        ("Pilatus 1M", (1.72e-4, None), None),
        ("Detector", (1e-4, 1e-4), None),
        ("mine", (1e-4, 1e-4), None),
    ],
)
def test_shape_of_the_images_has_the_binning(name, pixels, shape):
    assert panel_shape(name, pixels) == shape
