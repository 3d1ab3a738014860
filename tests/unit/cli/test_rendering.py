"""Tables of two revisions, as text."""

import io

import pytest
from rich.console import Console

from ponikeeper.cli.rendering import diff_table, provenance_text
from rails import rail
from stores import GEOMETRY


def row(number, position):
    return {
        "revision": number,
        "label": None,
        "created": "2026-11-22T09:30:00.250000Z",
        "geometry": GEOMETRY.as_dict(),
        "provenance": {},
        "position": position,
    }


def z(value, units="mm"):
    return {"z": {"value": value, "units": units}}


@pytest.mark.parametrize(
    ("one", "other", "line"),
    [
        (z(1000.0), z(1000.25), "position z 1000.0 mm 1000.25 mm +0.25 mm"),
        (z(1000.0), z(1e6, "um"), "position z 1000.0 mm 1000000.0 um +0 um"),
        (z(12.0, "keV"), z(12500.0, "eV"), "position z 12.0 keV 12500.0 eV +500 eV"),
        (z(1000.0), z(1.0, "deg"), "position z 1000.0 mm 1.0 deg"),
        (z(1.0, ""), z(2.0, ""), "position z 1.0 2.0 +1"),
        (z(1000.0), {}, "position z 1000.0 mm -"),
        (None, z(1000.0), "position never recorded z 1000.0 mm"),
        ({}, None, "position no links never recorded"),
        (z(1.0), z(1.0), None),
    ],
)
def test_position_is_compared_link_by_link_in_the_units_of_the_second_one(one, other, line):
    text = io.StringIO()
    Console(file=text, width=120).print(diff_table("P:", row(1, one), row(2, other)))
    rows = [" ".join(each.replace("\u2502", " ").split()) for each in text.getvalue().splitlines()]
    assert [each for each in rows if each.startswith("position")] == ([line] if line else [])


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("method", "fit", "fit"),
        ("calibrant", None, "-"),
        ("sigma", {"dist": 5.3880687e-06, "rot1": 2e-6}, "dist 5.39e-06 m, rot1 2e-06 rad"),
        ("covariance", {"names": ["dist", "rot1"], "lower": [1.0, 0.0, 1.0]}, "of dist, rot1"),
        ("model", rail(members=((1, "a"), (4, "b"))).as_dict(), "a function of z, fitted to revisions 1, 4"),
        ("model", {"reference": {"z": 1.0, "tth": 2.0}, "fit": {}}, "a function of z, tth"),
    ],
)
def test_provenance_is_short_for_people(key, value, text):
    assert provenance_text(key, value) == text
