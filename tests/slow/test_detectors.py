"""The packaged table of pixel sizes agrees with the installed pyFAI."""

import pytest

from make_detector_table import TABLE, as_text, make_table
from ponikeeper.geometry.detectors import pixel_size


@pytest.fixture(scope="module")
def registry():
    detectors = pytest.importorskip("pyFAI.detectors", reason="the table is compared with pyFAI: install [fit]")
    return detectors.Detector.registry


@pytest.mark.usefixtures("registry")
def test_packaged_table_is_the_one_of_pyfai():
    assert TABLE.read_text(encoding="ascii") == as_text(make_table())


def test_every_name_of_pyfai_has_its_pixels(registry):
    from pyFAI.detectors import detector_factory

    differing = {}
    for name, kind in registry.items():
        try:
            detector = detector_factory(name)
        except TypeError:  # made for a shape or a file that has to be given (Nexus, ...)
            detector = None
        size = (detector.pixel1, detector.pixel2) if detector and detector.pixel1 else None
        if any(pixel_size(spelt) != size for spelt in (name, name.upper(), kind.__name__)):
            differing[name] = size
    assert differing == {}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Perkin", (2e-4, 2e-4)),
        ("Perkin detector", (2e-4, 2e-4)),
        ("perkin_detector", (2e-4, 2e-4)),
        ("PERKIN DETECTOR", (2e-4, 2e-4)),
        ("Pilatus1M", (172e-6, 172e-6)),
        ("pilatus1m", (172e-6, 172e-6)),
        ("Pilatus 1M", (172e-6, 172e-6)),
        ("Eiger2CdTe_1M", (75e-6, 75e-6)),
        ("Detector", None),  # pyFAI's base class: it has no pixels until they are given
        ("NexusDetector", None),
        ("Perkins", None),
        ("Pilatus-1M", None),
        (" Perkin", None),
        ("", None),
    ],
)
def test_lookup_by_class_name_alias_and_any_case(name, size):
    assert pixel_size(name) == size


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("name", ["Perkins", "Pilatus-1M", " Perkin", ""])
def test_unknown_name_is_unknown_to_pyfai_too(name):
    from pyFAI.detectors import detector_factory

    with pytest.raises(RuntimeError, match="is unknown"):
        detector_factory(name)
