"""Words for units: which mean the same, how values are converted, and what Channel Access cuts."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.protocol import link_units
from ponikeeper.protocol.link_units import Egu, conversion, converted, value_in

EVERY_WORD = [word for _, _, words in link_units._WORDS for word in words.split()]
LONG_WORDS = [word for word in EVERY_WORD if len(word.encode()) >= 7]


def convert(value, text, units, *, own_word=None, is_cut=False):
    factor = conversion(Egu(text, is_cut), units, own_word)
    return None if factor is None else converted(value, factor)


@pytest.mark.parametrize(
    ("value", "reported", "configured", "result"),
    [
        (1000050.0, "um", "mm", 1000.05),
        (1.00005, "m", "mm", 1000.05),
        (1000.05, "MM", "mm", 1000.05),
        (3.7, "microns", "nm", 3700.0),
        (12398.4, "eV", "keV", 12.3984),
        (0.0123984, "MeV", "keV", 12.3984),
        (25.0, "meV", "eV", 0.025),
        (11919.6, "ev", "keV", 11.9196),
        (12500.0, "mdeg", "deg", 12.5),
        (12.5, "Degrees", "deg", 12.5),
        (0.1665, "A", "m", 1.665e-11),
        (0.1665, "Angstrom", "angstrom", 0.1665),
        (0.01665, "nm", "angstrom", 0.1665),
        (0.7749, "\xc5", "angstrom", 0.7749),
        (250.0, "\xb5m", "mm", 0.25),
        (250.0, "\u03bcm", "mm", 0.25),
    ],
)
def test_units_of_one_dimension_are_converted_with_one_rounding(value, reported, configured, result):
    factor = conversion(Egu(reported), configured)
    assert convert(value, reported, configured) == float(Fraction(value) * factor)
    assert convert(value, reported, configured) == pytest.approx(result, rel=1e-15)


@pytest.mark.parametrize(("reported", "configured"), [("A", "mm"), ("A", "nm"), ("A", "angstrom"), ("nm", "A")])
def test_ampere_is_no_length(reported, configured):
    assert conversion(Egu(reported), configured, measures_beam=False) is None
    assert value_in(5.0, reported, configured, measures_beam=False) is None
    assert conversion(Egu(reported), configured) is not None
    assert conversion(Egu("A"), "A", measures_beam=False) == conversion(Egu("nm"), "nm", measures_beam=False) == 1


def test_radians_and_degrees():
    assert convert(0.5, "rad", "deg") == pytest.approx(28.64788975654116, rel=1e-15)
    assert convert(90.0, "deg", "rad") == pytest.approx(1.5707963267948966, rel=1e-15)
    assert convert(3.0, "mrad", "rad") == pytest.approx(0.003, rel=1e-15)
    assert convert(17.5, "mrad", "mrad") == 17.5


@pytest.mark.parametrize(
    ("reported", "configured"),
    [
        ("counts", "mm"),
        ("mm", "counts"),
        ("deg", "mm"),
        ("keV", "angstrom"),
        ("mm/s", "mm"),
        ("MEV", "keV"),  # may be meV
        ("mev", "keV"),
        ("Mm", "mm"),  # megametres
        ("mM", "mm"),
        ("Nm", "nm"),  # a torque
        ("a", "angstrom"),
        ("\ufffdm", "um"),  # a byte that could not be decoded
        ("Counts", "counts"),
        ("mm", "mmm"),
    ],
)
def test_units_that_differ_are_not_converted(reported, configured):
    assert convert(1.0, reported, configured) is None


def test_no_units_mean_those_of_the_configuration():
    assert convert(12.5, "", "mm") == 12.5
    assert convert(12.5, "", "furlong", is_cut=True) == 12.5


def test_same_word_needs_no_table():
    assert convert(12.5, "counts", "counts") == 12.5
    assert convert(12.5, "furlong/fortnight", "furlong/fortnight") == 12.5


def test_own_word_of_the_site_means_the_units_of_the_configuration():
    assert convert(12.5, "zpos", "mm", own_word="zpos") == 12.5
    assert convert(12.5, "um", "mm", own_word="um") == 12.5  # the field is wrong, and cannot be changed
    assert convert(12500.0, "um", "mm", own_word="zpos") == 12.5
    assert convert(12.5, "ypos", "mm", own_word="zpos") is None
    assert convert(12.5, "encoder", "mm", own_word="encoder counts", is_cut=True) == 12.5
    assert convert(12.5, "encoder", "mm", own_word="encoder counts") is None


@pytest.mark.parametrize("word", LONG_WORDS)
def test_word_that_was_cut_is_known_by_its_first_seven_bytes(word):
    cut = word.encode()[:7].decode()
    assert conversion(Egu(cut, True), word) == 1
    assert conversion(Egu(cut.upper(), True), word) in (1, None)
    assert conversion(Egu(word), word) == 1


def test_cut_word_that_is_not_long_enough_to_have_been_cut_is_whole():
    assert convert(1.0, "angstr", "angstrom", is_cut=True) is None
    assert convert(1.0, "angstro", "angstrom", is_cut=True) == 1.0
    assert convert(1.0, "angstro", "angstrom") is None
    assert convert(5.0, "microme", "mm", is_cut=True) == 0.005
    assert convert(5.0, "MICROME", "mm", is_cut=True) == 0.005
    assert convert(5.0, "furlong", "furlongs", is_cut=True) == 5.0
    assert convert(5.0, "mm", "mm/s", is_cut=True) is None


def test_no_word_means_two_units():
    assert len(EVERY_WORD) == len(set(EVERY_WORD))
    cuts = {}
    for dimension, size, words in link_units._WORDS:
        for word in words.split():
            if len(word.encode()) >= 7:
                cuts.setdefault(word.casefold().encode()[:7], set()).add((dimension, size))
    assert all(len(units) == 1 for units in cuts.values())


@given(st.sampled_from(EVERY_WORD), st.sampled_from(EVERY_WORD))
def test_factor_there_and_back_is_one(one, other):
    there, back = conversion(Egu(one), other), conversion(Egu(other), one)
    assert (there is None) == (back is None)
    if there is not None:
        assert there * back == Fraction(1)


@pytest.mark.parametrize(
    ("value", "units", "wanted", "result"),
    [
        (1000.05, "mm", "mm", 1000.05),
        (1000.05, "mm", "um", 1000050.0),
        (1.25, "m", "cm", 125.0),
        (11919.6, "eV", "keV", 11.9196),
        (12.5, "deg", "mdeg", 12500.0),
        (0.1665, "angstrom", "nm", 0.01665),
        (3.0, "", "", 3.0),
        (3.0, "", "mm", None),
        (3.0, "mm", "", None),
        (3.0, "mm", "deg", None),
        (3.0, "turns", "deg", None),
        (3.0, "turns", "turns", 3.0),
    ],
)
def test_recorded_value_is_converted_between_units_of_one_dimension_only(value, units, wanted, result):
    assert value_in(value, units, wanted) == result


@given(st.sampled_from(EVERY_WORD), st.sampled_from(EVERY_WORD), st.floats(1e-9, 1e9))
def test_recorded_value_comes_back_from_any_unit_of_its_dimension(units, wanted, value):
    there = value_in(value, units, wanted)
    assert (there is None) == (link_units._unit(Egu(units))[0] != link_units._unit(Egu(wanted))[0])
    assert there is None or value_in(there, wanted, units) == pytest.approx(value, rel=1e-15)
