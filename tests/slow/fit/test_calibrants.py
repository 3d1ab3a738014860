"""Calibrants: their lines, and the errors for unknown ones."""

import numpy as np
import pytest
from pyFAI.calibrant import Calibrant as PyFaiCalibrant
from pyFAI.calibrant import get_calibrant
from pyFAI.calibrant import names as pyfai_names

from peaks import fcc
from ponikeeper.errors import CalibrantError, PonikeeperError
from ponikeeper_client.fit.calibrants import Calibrant, calibrant, calibrant_names

WAVELENGTH = 1.663e-11


def test_nickel_has_the_whole_list_of_its_lattice():
    expected = fcc(3.524e-10)
    assert calibrant("Ni").spacings[: len(expected)] == pytest.approx(expected, rel=1e-12)
    assert len(get_calibrant("Ni").dspacing) < 10 < len(calibrant("Ni").spacings)  # why it is not pyFAI's


def test_nickel_begins_with_the_lines_that_pyfai_has():
    known = np.array(get_calibrant("Ni").dspacing) * 1e-10
    assert calibrant("Ni").spacings[: len(known)] == pytest.approx(known, rel=1e-4)


def test_every_name_of_pyfai_is_known_with_its_lines():
    assert calibrant_names() == sorted(pyfai_names())
    for name in calibrant_names():
        result = calibrant(name)
        assert result.name == name
        assert len(result.spacings) > 0
        if name != "Ni":
            theirs = np.unique(get_calibrant(name).dspacing)[::-1] * 1e-10
            apart = np.r_[True, -np.diff(theirs) > 1e-6 * theirs[:-1]]
            assert result.spacings == pytest.approx(theirs[apart], rel=1e-12), name
        assert (np.diff(result.spacings) < 0).all(), f"{name} descends, no line twice"


@pytest.mark.parametrize("name", ["LaB6", "CeO2", "AgBh", "Si"])
def test_lines_are_at_the_angles_of_pyfai(name):
    theirs = get_calibrant(name)
    theirs.wavelength = WAVELENGTH
    expected = np.unique(np.array(theirs.get_2th()).round(9))
    ours = calibrant(name).lines(WAVELENGTH, np.pi)
    few = min(len(expected), len(ours), 20)
    assert few > 5
    assert ours[:few] == pytest.approx(expected[:few], abs=1e-8)


def test_lines_ascend_and_end_at_the_largest_angle():
    lines = calibrant("Ni").lines(WAVELENGTH, 0.3)
    assert (np.diff(lines) > 0).all()
    assert lines[-1] < 0.3 < calibrant("Ni").lines(WAVELENGTH)[len(lines)]


def test_a_wavelength_in_angstrom_has_no_lines():
    assert len(calibrant("Ni").lines(0.1663)) == 0


def test_a_calibrant_is_accepted_as_a_calibrant():
    result = Calibrant("mine", (2e-10, 1e-10))
    assert calibrant(result) is result


def test_pyfai_is_given_the_same_lines():
    theirs = calibrant("Ni").pyfai(WAVELENGTH)
    assert theirs.get_2th() == pytest.approx(calibrant("Ni").lines(WAVELENGTH, np.pi).tolist(), rel=1e-9)


def test_a_file_that_is_written_is_read_by_pyfai_and_by_us(tmp_path):
    file = tmp_path / "nickel.D"
    calibrant("Ni").write(file)
    assert calibrant(file).spacings == pytest.approx(calibrant("Ni").spacings, abs=1e-18)
    assert calibrant(str(file)).name == "nickel"
    assert PyFaiCalibrant(filename=str(file)).dspacing[:20] == pytest.approx(
        np.array(calibrant("Ni").spacings[:20]) * 1e10, abs=1e-7
    )


def test_a_file_may_have_remarks_indices_and_lines_in_any_order(tmp_path):
    file = tmp_path / "odd.D"
    file.write_text("# Calibrant: odd\n\n1.5 # (2,0,0)\n   2.5\n2.5\n1.0 (3 1 1) 12\n")
    assert calibrant(file).spacings == pytest.approx((2.5e-10, 1.5e-10, 1.0e-10))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lists no lattice spacings"),
        (b"# only remarks\n", "lists no lattice spacings"),
        (b"2.5\nthree\n", "line 2, 'three'"),
        (b"2.5\n-1\n", "line 2, '-1'"),
        (b"2.5\n0\n", "line 2, '0'"),
        (b"2.5\nnan\n", "line 2, 'nan'"),
        (b"2.5\ninf\n", "line 2, 'inf'"),
        (b"2.5e-10\n", "expected a lattice spacing in angstrom"),
        (b"\xff\xfe\x00\x01", "line 1"),
    ],
)
def test_a_file_that_lists_no_spacings_is_refused_with_its_line(tmp_path, content, said):
    file = tmp_path / "bad.D"
    file.write_bytes(content)
    with pytest.raises(CalibrantError) as error:
        calibrant(file)
    assert str(file) in str(error.value)
    assert said in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "none.D", tmp_path / "none" / "none.D"):
        with pytest.raises(CalibrantError, match="No such file"):
            calibrant(path)
    (tmp_path / "folder.D").mkdir()
    with pytest.raises(CalibrantError, match="Is a directory"):
        calibrant(tmp_path / "folder.D")


def test_an_unknown_name_lists_what_exists():
    with pytest.raises(CalibrantError) as error:
        calibrant("unobtainium")
    for name in calibrant_names():
        assert f" {name}" in str(error.value)
    assert "did you mean" not in str(error.value)
    assert isinstance(error.value, PonikeeperError)
    assert isinstance(error.value, LookupError)


@pytest.mark.parametrize(("typed", "meant"), [("lab6", "LaB6"), ("CEO2", "CeO2"), ("ni", "Ni"), ("AgBeh", "AgBh")])
def test_a_name_that_is_nearly_right_is_suggested(typed, meant):
    with pytest.raises(CalibrantError, match=rf"did you mean {meant}\?"):
        calibrant(typed)
