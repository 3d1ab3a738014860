"""PONI texts of pyFAI are read to the same numbers, and vice versa; each difference has a test with its reason."""

import dataclasses
import inspect
import io
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import PoniError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import PARAMETERS
from strategies import VALUES, geometries, numbers

pytest.importorskip("pyFAI", reason="compared with pyFAI: install [fit]")

from pyFAI.detectors import Detector, detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.io.ponifile import PoniFile

import old_pyfai

NUMBERS = [name for name in PARAMETERS if not name.startswith("pixel")]
GEOMETRY = Geometry(**(VALUES | {"detector_config": {"orientation": 2}}))
KINDS = sorted(
    {kind for kind in Detector.registry.values() if pixel_size(kind.__name__)}, key=lambda kind: kind.__name__
)
REAL = sorted((Path(__file__).parents[3] / "shared" / "data" / "real").glob("*/*.poni"))
real_files = pytest.mark.parametrize(
    "path",
    REAL
    or [
        pytest.param(
            None, marks=pytest.mark.skip(reason="the folder of real data does not exist next to the repository")
        )
    ],
    ids=lambda path: path and path.name,
)


def read_by_pyfai(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.poni")
        path.write_bytes(text.encode())
        return PoniFile(str(path))


def written_by_pyfai(detector, values, version="2.1"):
    """Return the text that pyFAI writes, of any version that it can write."""
    named = {name: values[name] for name in NUMBERS}
    written = PoniFile(SimpleNamespace(detector=detector, parallax=values.get("parallax", False), **named))
    written.API_VERSION = int(version) if version.isdigit() else float(version)
    stream = io.StringIO()
    written.write(stream)
    return stream.getvalue()


def assert_same(ours, theirs):
    """Compare all values that both have, the floats bit by bit."""
    assert {name: getattr(ours, name) for name in NUMBERS} == {name: getattr(theirs, name) for name in NUMBERS}
    assert ours.detector == type(theirs.detector).__name__
    assert (ours.pixel1, ours.pixel2) == (theirs.detector.pixel1, theirs.detector.pixel2)
    assert ours.orientation == (theirs.detector.orientation or 3)
    assert ours.detector_config.get("parallax", False) == bool(theirs.parallax)
    sensor = ours.as_dict()["detector_config"].get("sensor")
    assert sensor == (theirs.detector.sensor.as_dict() if theirs.detector.sensor else None)
    if "max_shape" in ours.detector_config:
        assert ours.detector_config["max_shape"] == tuple(theirs.detector.max_shape)


@st.composite
def detectors(draw):
    """Draw a detector of pyFAI with pixels of its own, or its base class with any pixels and shape."""
    orientation = {"orientation": draw(st.integers(1, 4))}
    if draw(st.integers(0, 3)):
        kind = draw(st.sampled_from(KINDS))
        return kind(**orientation)
    shape = draw(st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
    return Detector(pixel1=draw(numbers("pixel1")), pixel2=draw(numbers("pixel2")), max_shape=shape, **orientation)


values_of_geometries = st.fixed_dictionaries({name: numbers(name) for name in NUMBERS} | {"parallax": st.booleans()})


@given(detectors(), values_of_geometries, st.sampled_from(["2", "2.1", "3"]))
def test_text_of_pyfai_is_read_to_the_same_numbers(detector, values, version):
    """Version 2 has no orientation: pyFAI does not write it, and both then read 3."""
    text = written_by_pyfai(detector, values, version)
    ours, theirs = poni.read(text), read_by_pyfai(text)
    assert_same(ours, theirs)
    assert ours.dist == values["dist"]
    assert ours.orientation == (3 if version == "2" else detector.orientation)
    assert ours.detector_config.get("parallax", False) == (version == "3" and values["parallax"])
    assert poni.read(text.replace("\n", "\r\n")) == ours


@given(numbers("pixel1"), numbers("pixel2"), values_of_geometries)
def test_version_1_of_pyfai_is_read_to_the_same_numbers(pixel1, pixel2, values):
    text = written_by_pyfai(Detector(pixel1=pixel1, pixel2=pixel2), values, "1")
    assert_same(poni.read(text), read_by_pyfai(text))


@st.composite
def geometries_of_known_detectors(draw):
    detector = draw(detectors())
    config = {"orientation": int(detector.orientation)}
    if type(detector) is Detector and detector.max_shape:
        config["max_shape"] = list(detector.max_shape)
    if "sensor" in inspect.getfullargspec(type(detector)).args and draw(st.booleans()):
        config["sensor"] = {"material": draw(st.sampled_from(["Si", "CdTe"])), "thickness": draw(st.floats(1e-5, 1e-2))}
    config["parallax"] = draw(st.booleans())
    pixels = {name: st.just(getattr(detector, name)) for name in ("pixel1", "pixel2")}
    return draw(geometries(detector=st.just(type(detector).__name__), detector_config=st.just(config), **pixels))


@old_pyfai.no_sensors
@given(geometries_of_known_detectors())
def test_text_written_here_is_read_by_pyfai_to_the_same_numbers(geometry):
    assert_same(geometry, read_by_pyfai(poni.write(geometry)))


@old_pyfai.no_sensors
@given(geometries_of_known_detectors())
def test_text_that_pyfai_read_and_wrote_again_is_still_the_same(geometry):
    """Only the radius of a cylindrical detector is added: pyFAI writes its default where none was given."""
    theirs = read_by_pyfai(poni.write(geometry))
    stream = io.StringIO()
    theirs.write(stream)
    again = poni.read(stream.getvalue())
    added = {key: value for key, value in again.detector_config.items() if key not in geometry.detector_config}
    assert added in ({}, {"radius": getattr(theirs.detector, "radius", None)})
    assert again == dataclasses.replace(geometry, detector_config={**geometry.detector_config, **added})


def test_file_to_which_pyfai_saves_twice_is_read_to_the_second(tmp_path):
    path = tmp_path / "x.poni"
    integrator = AzimuthalIntegrator(0.2, 0.1, 0.1, detector=detector_factory("Perkin"), wavelength=1e-11)
    integrator.save(str(path))
    once = path.read_bytes()
    integrator.dist = 0.3
    integrator.save(str(path))
    assert poni.read(once).dist == 0.2
    assert_same(poni.read(path.read_bytes()), PoniFile(str(path)))
    assert poni.read(path.read_bytes()).dist == 0.3
    for cut in range(len(once), len(path.read_bytes())):
        if cut == len(once):
            assert poni.read(path.read_bytes()[:cut]).dist == 0.2
        else:
            with pytest.raises(PoniError):
                poni.read(path.read_bytes()[:cut])


def assert_whole_or_refused(whole):
    """Cut a text of one entry at every byte."""
    expected = poni.read(whole)
    taken = 0
    for cut in range(len(whole)):
        try:
            assert poni.read(whole[:cut]) == expected
            taken += 1
        except PoniError:
            continue
    assert taken <= 1  # between CR and LF; pyFAI and ponikeeper write nothing after the last value


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("version", ["1", "2", "2.1", "3"])
def test_text_of_pyfai_cut_at_any_byte_is_the_same_geometry_or_refused(version, newline):
    detector = Detector(pixel1=1e-4, pixel2=2e-4) if version == "1" else detector_factory("Pilatus1M")
    text = written_by_pyfai(detector, VALUES | {"parallax": True}, version)
    assert_whole_or_refused(text.replace("\n", newline).encode())


@pytest.mark.parametrize("config", [{}, {"orientation": 1}, {"parallax": True}, {"sensor": {"material": "Si"}}])
def test_text_written_here_cut_at_any_byte_is_the_same_geometry_or_refused(config):
    assert_whole_or_refused(poni.write(Geometry(**(VALUES | {"detector_config": config}))).encode())


@real_files
def test_real_file_is_read_as_pyfai_does_and_whole_or_refused_when_cut(path):
    whole = path.read_bytes()
    assert_same(poni.read(whole), PoniFile(str(path)))
    assert poni.read(poni.write(poni.read(whole))) == poni.read(whole)
    assert_whole_or_refused(whole)


@pytest.mark.parametrize("version", ["1", "2", "2.1", "3"])
def test_text_without_wavelength_is_refused_although_pyfai_accepts_it(version):
    """Without one pyFAI still has radius and angle, but no q: a recorded geometry without it is not useful."""
    text = written_by_pyfai(Detector(pixel1=1e-4, pixel2=2e-4), VALUES | {"wavelength": None}, version)
    assert read_by_pyfai(text).wavelength is None
    with pytest.raises(PoniError, match="the entry is incomplete: Wavelength missing"):
        poni.read(text)


def test_text_without_orientation_is_read_by_pyfai_with_its_default():
    """No orientation is added to the text; pyFAI logs that it is missing and uses 3, as ponikeeper does."""
    geometry = Geometry(**(VALUES | {"detector_config": {}}))
    text = poni.write(geometry)
    assert "orientation" not in text
    assert_same(geometry, read_by_pyfai(text))


def test_truncated_text_is_accepted_by_pyfai_and_refused_here():
    """For pyFAI any key may be missing, and a part of a number is a number: hence the reader of ponikeeper."""
    text = poni.write(GEOMETRY)
    cut = text[: text.index("Rot2") - len(repr(GEOMETRY.rot1)) + 3]
    theirs = read_by_pyfai(cut)
    assert (theirs.rot1, theirs.rot2, theirs.wavelength) == (0.0, None, None)
    with pytest.raises(PoniError, match="has no line end"):
        poni.read(cut)


@pytest.mark.parametrize("header", ["", "# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis\n"])
def test_entry_of_version_1_after_a_later_one_is_merged_by_pyfai_and_never_here(header):
    """In pyFAI one dictionary is used for all entries: the second's numbers get the first's detector and pixels."""
    second = (
        header
        + written_by_pyfai(Detector(pixel1=1e-4, pixel2=1e-4), VALUES | {"dist": 0.5}, "1").partition(
            "poni_version: 1\n"
        )[2]
    )
    text = poni.write(GEOMETRY) + second
    theirs = read_by_pyfai(text)
    assert (theirs.dist, theirs.detector.pixel1, theirs.detector.orientation) == (0.5, 2e-4, 2)
    assert poni.read(text) == poni.read(second)
    assert (poni.read(text).dist, poni.read(text).pixel1, poni.read(text).detector_config) == (0.5, 1e-4, {})


def test_pyfai_ignores_the_pixels_of_a_text_for_two_kinds_of_detector():
    """FReLoN has fixed pixels and Pixirad's are hexagons: pyFAI ignores those of the text, ponikeeper keeps them."""
    ignoring = set()
    for kind in KINDS:
        own = pixel_size(kind.__name__)
        other = Geometry(**(VALUES | {"detector": kind.__name__, "pixel1": own[0] * 1.2, "pixel2": own[1] * 1.2}))
        text = poni.write(Geometry(**(other.as_dict() | {"detector_config": {"orientation": 3}})))
        theirs = read_by_pyfai(text).detector
        if (theirs.pixel1, theirs.pixel2) != (other.pixel1, other.pixel2):
            ignoring.add(kind.__name__)
        assert poni.read(text).pixel1 == other.pixel1
    assert ignoring == {"FReLoN", "Pixirad1", "Pixirad2", "Pixirad4", "Pixirad8"}


def test_value_out_of_range_is_accepted_by_pyfai_and_refused_here():
    """No limits exist in pyFAI: a wavelength in angstrom is read as metres without an error."""
    text = poni.write(GEOMETRY).replace(repr(GEOMETRY.wavelength), "0.1663")
    assert read_by_pyfai(text).wavelength == 0.1663
    with pytest.raises(PoniError, match=r"wavelength 0\.1663 m looks like angstrom: write 1\.663e-11"):
        poni.read(text)


def test_line_without_a_key_is_ignored_by_pyfai_and_refused_here():
    """A misspelt key, or a line without its colon, omits a value: pyFAI reports no error."""
    for damaged in ("Rot3 0.1", "Rotation3: 0.1"):
        text = poni.write(GEOMETRY).replace(f"Rot3: {GEOMETRY.rot3!r}", damaged)
        assert read_by_pyfai(text).rot3 is None
        with pytest.raises(PoniError):
            poni.read(text)


def test_detector_config_of_pyfai_is_kept_except_for_the_pixels():
    detector = detector_factory("Pilatus1M", {"orientation": 4, "sensor": {"material": "Si", "thickness": 4.5e-4}})
    text = written_by_pyfai(detector, VALUES)
    config = json.loads(text.partition("Detector_config: ")[2].partition("\n")[0])
    read = poni.read(text).as_dict()
    pixels = {name: config.pop(name) for name in ("pixel1", "pixel2")}
    assert read["detector_config"] == config
    assert {name: read[name] for name in pixels} == pixels
