"""What a PONI file says about the geometry in it."""

from dataclasses import replace

import pytest

from ponikeeper.geometry import poni
from ponikeeper.history import Correction, Revision
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.protocol.origin import certainty_lines, correction_lines, position_line, revision_lines, snapshot_lines
from rails import rail
from stores import GEOMETRY

TIME = "2026-11-22T09:30:00.250000Z"
P = "XF:28ID1-ES{Det:PE1}Calib:"
REVISION = Revision(
    12, "0d1f7c52", TIME, "near", GEOMETRY, {"z": {"value": 1000.01, "units": "mm"}},
    {"author": "alice", "method": "fit", "calibrant": "Ni", "residual_px": 0.04, "comment": "two\nlines \u00b5"}, "x",
)  # fmt: skip


def correction(number, revision, by=None, since=None, until=None):
    kind = "retract" if by is None else "supersede"
    return Correction(number, kind, revision, by, since, until, "typed wrong", TIME, "bob")


def test_revision_is_described_completely():
    assert revision_lines(P, REVISION, [], None) == [
        f"revision 12 (near) of {P}, uid 0d1f7c52",
        f"created {TIME}",
        "author: alice",
        "method: fit",
        "calibrant: Ni",
        "residual_px: 0.04",
        "comment: two\nlines \u00b5",
        "position: z 1000.01 mm",
        "corrections: none",
    ]


def test_active_geometry_says_its_status_and_why():
    lines = snapshot_lines(replace(Snapshot.from_json(EXAMPLES["snapshot"]), status="MOVED", reason="z is at 500 mm"))
    assert lines[0].startswith("revision 13 (near) of XF:28ID1-ES{Det:PE1}Calib:, uid ")
    assert "active since 2026-11-22T09:30:01.250000Z (serial 31)" in lines
    assert lines[-2:] == ["position: z 1000.01 mm", "status: MOVED: z is at 500 mm"]


@pytest.mark.parametrize(
    ("corrections", "instant", "last"),
    [
        ([correction(1, 12, 15)], None, "WRONG now: revision 15 is right"),
        ([correction(1, 12, 15), correction(2, 15, 17)], None, "WRONG now: revision 17 is right"),
        ([correction(1, 12)], None, "WRONG now: no revision replaces it"),
        ([correction(1, 12, 15, None, TIME)], None, "revision 12 is right now"),
        (
            [correction(1, 12, 15, None, TIME)],
            "2026-11-21T00:00:00.000000Z",
            "WRONG for 2026-11-21T00:00:00.000000Z: revision 15 is right",
        ),
        ([correction(1, 12, 15, TIME)], "2026-11-21T00:00:00.000000Z", "revision 12 is right for 2026-11-21T00:00:00"),
        ([correction(1, 11, 15)], None, "corrections: none"),
    ],
)
def test_last_line_says_whether_the_revision_is_right(corrections, instant, last):
    lines = correction_lines(12, corrections, instant)
    assert lines[-1].startswith(last)
    assert sum("typed wrong [bob" in line for line in lines) == len(corrections) - (last == "corrections: none")


def test_position_says_when_it_was_never_recorded_and_when_there_are_no_links():
    assert (position_line(None), position_line({})) == ("position: never recorded", "position: no links")
    assert position_line({"a": {"value": 1.5, "units": ""}}) == "position: a 1.5"


def test_any_line_is_one_comment_that_changes_nothing_in_the_geometry():
    hostile = [
        "",
        "a\nDistance: 9",
        "b\r\nPoni1: 9",
        "\u00b5m",
        "Nota: C-Order",
        "Distance: 9",
        "c\x85Rot1: 9\u2028x: 1",
    ]
    text = poni.write(GEOMETRY, hostile)
    assert text.isascii()
    assert poni.read(text) == poni.read(poni.write(GEOMETRY)) == GEOMETRY
    assert text.endswith(poni.write(GEOMETRY))
    assert [line[:1] for line in text.splitlines()[: len(hostile)]] == ["#"] * len(hostile)
    assert len(poni.read_all(text)) == 1


def test_certainty_of_a_fit_is_described():
    assert certainty_lines({"method": "fit"}) == []
    provenance = {
        "accuracy_deg": 0.0123,
        "valid_within": {"y": 0.1, "x": 0.2, "radius": 0.0381},
        "preferred_wavelength": {"wavelength": 1.6717e-11, "sigma": 1.9e-14},
        "covariance": {"names": ["dist", "wavelength"], "lower": [1e-12, -1.5e-23, 1e-27]},
    }
    assert certainty_lines(provenance) == [
        "accuracy: 0.0123 deg, largest standard deviation of 2 theta on the panel",
        "valid within radius 38.1 mm of the point 100.0, 200.0 mm of the detector (axes 1, 2)",
        "the rings prefer a wavelength of 1.6717e-11 m +- 1.9e-14 m",
        "covariance of dist wavelength (m, rad; lower triangle, row by row): 1e-12 -1.5e-23 1e-27",
    ]


def test_model_is_described_by_where_it_was_computed_and_holds():
    model = rail(members=((1, "first"),))
    position = {"z": {"value": 1234.5, "units": "mm"}}
    provenance = {"method": "model", "model": model.as_dict()}
    revision = Revision(5, "a model", "2026-11-22T09:30:00.250000Z", None, model.geometry, position, provenance, "")
    line = "model: computed for z 1234.5 mm; holds for z 960 to 1440 mm (calibrated 1000 to 1400)"
    assert line in revision_lines("P:", revision, [], None)
    snapshot = Snapshot("P:", "VALID", "", 9, 5, "a model", geometry=model.geometry, position=position)
    assert line in snapshot_lines(replace(snapshot, provenance=provenance))
    assert not any(text.startswith("model") for text in snapshot_lines(snapshot))
