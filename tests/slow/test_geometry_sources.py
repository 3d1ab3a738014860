"""What `set` of a device takes from objects of pyFAI: a geometry whose pixels are where those of the object are."""

import fabio
import numpy as np
import pytest
from pyFAI import detectors
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.io.ponifile import PoniFile

from ponikeeper.errors import PoniError
from ponikeeper_client._geometry_sources import values_of


def integrator(detector):
    return AzimuthalIntegrator(dist=0.2, poni1=0.1, poni2=0.1, wavelength=1e-10, detector=detector)


def square():
    return detectors.Detector(pixel1=1e-4, pixel2=1e-4, max_shape=(100, 100))


def shifted():
    detector = square()
    detector.set_dx(np.full((100, 100), 0.5))
    detector.set_dy(np.zeros((100, 100)))
    return detector


def stretched():
    detector = square()
    detector.set_pixel_corners(detector.get_pixel_corners() * 1.01)
    return detector


def with_offsets():
    detector = detectors.Pilatus1M()
    detector.offset1 = detector.offset2 = np.full(detector.shape, 0.5)
    detector.uniform_pixel = False
    return detector


@pytest.mark.parametrize("make", [shifted, stretched, with_offsets])
@pytest.mark.parametrize("kind", [lambda each: each, lambda each: PoniFile(data=each)], ids=["integrator", "PoniFile"])
def test_distortion_that_is_in_no_file_is_refused_and_not_lost(make, kind):
    with pytest.raises(PoniError, match=r"distortion that was set in memory would be lost; save the detector"):
        values_of(kind(integrator(make())))


@pytest.mark.parametrize("name", ["Perkin", "Pilatus1M", "Pixirad1", "Xpad_flat", "Aarhus", "Detector"])
def test_detectors_that_their_configuration_describes_are_accepted(name):
    detector = square() if name == "Detector" else detectors.detector_factory(name)
    assert values_of(integrator(detector))["detector"] == name


def test_distortion_in_files_is_accepted(tmp_path):
    saved = tmp_path / "pe1.h5"
    stretched().save(str(saved))
    values = values_of(integrator(detectors.NexusDetector(str(saved))))
    assert values["detector_config"]["filename"] == str(saved)
    offsets = {}
    for axis in "xy":
        file = tmp_path / f"{axis}.edf"
        fabio.edfimage.EdfImage(data=np.full((1043, 981), 0.5, np.float32)).write(str(file))
        offsets[f"{axis}_offset_file"] = str(file)
    values = values_of(integrator(detectors.Pilatus1M(**offsets)))
    assert offsets.items() <= values["detector_config"].items()
