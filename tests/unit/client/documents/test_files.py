"""A mask is checked before it is committed."""

import numpy as np
import pytest

from ponikeeper.errors import ImageError, ShapeError
from ponikeeper_client.documents import check_mask

PERKIN = {"detector": "Perkin", "pixel1": 4e-4, "pixel2": 4e-4}

OF_A_FILE = {**PERKIN, "pixel1": 2e-4, "detector_config": {"splineFile": "/d/taper.spline"}}


def write(folder, shape):
    np.save(folder / "mask.npy", np.zeros(shape, np.int8))
    return folder / "mask.npy"


@pytest.mark.parametrize("detector", [PERKIN, {**PERKIN, "detector": "mine"}, {}, OF_A_FILE])
def test_mask_of_the_shape_of_the_detector_or_of_an_unknown_one_is_accepted(tmp_path, detector):
    check_mask(write(tmp_path, (1024, 1024)), detector)


def test_mask_of_another_shape_is_refused_with_both_shapes(tmp_path):
    message = r"mask\.npy has the shape \(2048, 2048\): expected \(1024, 1024\), that of the detector Perkin"
    with pytest.raises(ShapeError, match=message):
        check_mask(write(tmp_path, (2048, 2048)), PERKIN)


def test_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "mask.npy").write_text("hello")
    with pytest.raises(ImageError, match=r"mask\.npy cannot be read: .*expected an array as numpy\.save writes it"):
        check_mask(tmp_path / "mask.npy", PERKIN)
