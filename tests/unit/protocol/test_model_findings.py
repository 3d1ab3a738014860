"""What is against a model where the links are."""

from dataclasses import replace

import pytest

from ponikeeper.history import Correction, Revision
from ponikeeper.protocol import LinkState, Status
from ponikeeper.protocol.findings import findings_about, status_of
from ponikeeper.protocol.model_findings import model_findings
from rails import FAR, MIDDLE, at, rail

TIME = "2026-11-22T09:30:00.000000Z"
GOOD = rail(members=((1, "first"),))


def link(value=MIDDLE, **more):
    given = {"tolerance": 0.05, "calibrated": MIDDLE, "moving": False, "connected": True, "within": True} | more
    return LinkState("z", "Z.RBV", "motor", "mm", value=value, **given)


def revision(model=GOOD, place=MIDDLE):
    position = {"z": {"value": place, "units": "mm"}}
    return Revision(
        5, f"uid {model.covariance[0]}", TIME, None, at(model, place), position, {"model": model.as_dict()}, ""
    )


def found(states, corrections=(), model=GOOD, place=MIDDLE):
    return [(each.status.name, each.link) for each in model_findings(revision(model, place), corrections, states)]


def test_nothing_is_against_it_where_its_geometry_was_computed_nor_against_what_is_no_model():
    assert found([link()]) == []
    plain = replace(revision(), provenance={})
    assert model_findings(plain, [], [link(FAR + 500)]) == []


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], [("UNKNOWN", "z")]),
        ([link(out_of_service="repaired")], [("UNKNOWN", "z")]),
        ([replace(link(), units="um")], [("UNKNOWN", "z")]),
        ([link(FAR + 41)], [("OUT_OF_RANGE", "")]),
        ([link(MIDDLE + 0.04)], [("MOVING", "")]),
        ([link(FAR, moving=True)], []),
    ],
)
def test_each_reason(states, expected):
    assert found(states) == expected


@pytest.mark.parametrize(("sigma", "expected"), [(6e-5, [("UNCERTAIN", "")]), (1e-4, [("OUT_OF_RANGE", "")])])
def test_uncertainty(sigma, expected):
    assert found([link()], model=rail(sigma=sigma)) == expected


def test_member_that_was_corrected_decides_also_at_the_time_for_which_it_was():
    wrong = Correction(1, "retract", 1, None, None, None, "wrong", TIME, "bob")
    assert found([link()], [wrong]) == [("RETRACTED", "")]
    assert found([link()], [replace(wrong, revision=2)]) == []
    past = replace(wrong, kind="supersede", by=3, until="2026-11-22T10:00:00.000000Z")
    assert found([link()], [past]) == []
    during = model_findings(revision(), [past], [link()], "2026-11-22T09:45:00.000000Z")
    assert [each.status for each in during] == [Status.RETRACTED]


def test_status_outside_is_out_of_range_though_the_links_have_moved():
    outside = link(FAR + 500, within=False)
    assert status_of(findings_about(revision(), [], [outside])) is Status.OUT_OF_RANGE
