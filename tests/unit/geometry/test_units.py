"""Display units: every quantity has one, with the right factor."""

import math
from dataclasses import fields

import pytest

from ponikeeper.geometry import Fit2D
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.geometry.units import DISPLAY_UNITS


def test_every_number_of_a_geometry_and_of_its_human_view_has_a_unit():
    assert set(DISPLAY_UNITS) == {*PARAMETERS, "energy", *(item.name for item in fields(Fit2D))}


@pytest.mark.parametrize(
    ("name", "value", "text", "fixed"),
    [
        ("dist", 0.2345, "234.5 mm", "234.5000"),
        ("poni1", -0.1, "-100 mm", "-100.0000"),
        ("rot1", math.pi, "180 deg", "180.0000"),
        ("pixel2", 0.0002, "200 um", "200.0000"),
        ("wavelength", 1.66e-11, "0.166 angstrom", "0.166000"),
        ("energy", 74.689276, "74.6893 keV", "74.6893"),
        ("beam_x", 500.125, "500.125 px", "500.12"),
    ],
)
def test_values_are_formatted_with_their_unit(name, value, text, fixed):
    assert DISPLAY_UNITS[name].text(value) == text
    assert DISPLAY_UNITS[name].fixed(value) == fixed


def test_notebooks_show_the_symbol():
    assert DISPLAY_UNITS["wavelength"].unicode(1e-10) == "1 Å"
    assert DISPLAY_UNITS["dist"].unicode(0.2) == "200 mm"
