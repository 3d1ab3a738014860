"""Which request a put to the structure is, and what is refused."""

import math

import pytest

from ponikeeper.errors import RefusedError
from ponikeeper.protocol import Commit, Label
from ponikeeper.pva.geometry_rules import decide_put, flat

PRESENT = flat(
    {
        "dist": 0.2345, "poni1": 0.1, "detector": "Perkin", "detector_config": '{"orientation": 3}', "label": "near",
        "provenance": '{"method": "fit", "residual_px": 0.3}', "position": '{"z": {"value": 1.0, "units": "mm"}}',
        "revision": 7, "serial": 9, "status": "VALID", "reason": "", "links": "[1]", "accuracy": math.nan,
        "sigma": {"dist": 1e-5, "poni1": math.nan}, "alarm": {"severity": 0},
    }
)  # fmt: skip
MANUAL = {"method": "manual"}


def put(published=(), **changed):
    names = {name.replace("__", "."): value for name, value in changed.items()}
    return decide_put(names, PRESENT, lambda name, value: (name, value) in published)


def refused(published=(), **changed):
    with pytest.raises(RefusedError) as raised:
        put(published, **changed)
    return raised.value.problems


def test_part_of_the_structure_is_an_edit():
    assert put(dist=0.3) == Commit({"dist": 0.3}, MANUAL, edit=True)
    assert put(dist=0.2345) == Commit({"dist": 0.2345}, MANUAL, edit=True)  # the IOC finds that nothing changes
    assert put(detector_config="{}") == Commit({"detector_config": {}}, MANUAL, edit=True)


def test_structure_that_was_read_and_changed_is_an_edit_that_expects_what_was_read():
    commit = decide_put(PRESENT | {"dist": 0.3}, PRESENT, lambda *_: False)
    assert commit == Commit(
        {"dist": 0.3, "poni1": 0.1, "detector": "Perkin", "detector_config": {"orientation": 3}},
        MANUAL, "near", edit=True, expect_revision=7, expect_serial=9,
    )  # fmt: skip


def test_revision_and_serial_are_expected_to_be_active():
    assert put(dist=0.3, revision=5) == Commit({"dist": 0.3}, MANUAL, edit=True, expect_revision=5)
    assert put(dist=0.3, serial=5) == Commit({"dist": 0.3}, MANUAL, edit=True, expect_serial=5)
    assert put(label="far", revision=7, serial=9) == Label("far", revision=7)
    assert refused(label="far", revision=5, serial=9) == (
        "expect_revision 5 is outdated: revision 7 is active; read Geometry again",
    )


@pytest.mark.parametrize(
    ("name", "value", "present"),
    [
        ("status", "VALID!", '"VALID"'), ("sigma__dist", 1e-6, "1e-05"), ("sigma__poni1", 1e-6, '"nan"'),
        ("alarm__severity", 2, "0"), ("accuracy", 0.1, '"nan"'), ("links", "[2]", '"[1]"'),
    ],
)  # fmt: skip
def test_field_that_can_only_be_read_is_refused_unless_it_is_as_it_was_read(name, value, present):
    field = name.replace("__", ".")
    assert refused(dist=0.3, **{name: value}) == (
        f"Geometry: {field} can only be read, and is {present}: leave it out",
    )
    assert put(dist=0.3, **{name: PRESENT[field]}) == Commit({"dist": 0.3}, MANUAL, edit=True)
    assert put([(field, value)], dist=0.3, **{name: value}) == Commit({"dist": 0.3}, MANUAL, edit=True)


def test_label_alone_labels_the_active_revision():
    assert put(label="far") == Label("far", revision=7)
    assert put(label="", dist=0.2345) == Label(None, revision=7)
    assert put(label="far", dist=0.3) == Commit({"dist": 0.3}, MANUAL, "far", edit=True)
    assert put(label="near") == Commit({}, MANUAL, "near", edit=True)


def test_provenance_or_position_make_a_new_geometry_as_a_request_does():
    assert put(dist=0.3, provenance='{"method": "fit"}') == Commit({"dist": 0.3}, {"method": "fit"})
    assert put(dist=0.3, position="now") == Commit({"dist": 0.3}, MANUAL, position="now")
    assert put(position='{"z": 2.0}', label="far") == Commit({}, MANUAL, "far", position={"z": 2.0})
    assert put(position="null") == Commit({}, MANUAL)
    same = {"provenance": '{"residual_px":0.3,"method":"fit"}', "position": PRESENT["position"]}
    assert put(dist=0.3, **same) == Commit({"dist": 0.3}, MANUAL, edit=True)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"provenance": '{"method": "guess"}'}, '"provenance.method": "guess" is not allowed: expected fit, gui'),
        ({"provenance": "fit"}, "Geometry: provenance is not valid JSON: "),
        ({"provenance": "[]"}, '"provenance": [] is not allowed: expected an object'),
        (
            {"position": '{"z": "far"}'},
            '"position": {"z": "far"} is not allowed: expected an object of numbers by link',
        ),
        ({"detector_config": '{"a": NaN}'}, "Geometry: detector_config is not valid JSON: "),
        ({"revision": 7}, "Geometry: nothing is put: expected one of dist poni1"),
        ({}, "Geometry: nothing is put: expected one of dist poni1"),
    ],
)
def test_what_cannot_be_put_says_what_was_expected(changed, says):
    (problem,) = refused(**changed)
    assert problem.startswith(says)


def test_every_problem_is_reported():
    assert len(refused(status="MOVED", provenance="x", detector_config="x")) == 3
