"""Which revisions are members, and what is refused."""

from dataclasses import replace

import pytest

import travels
from chains import geometry
from ponikeeper.errors import FitError
from ponikeeper.history import Activation, Correction
from ponikeeper.history.records import UNDO, UndoRecord
from ponikeeper_client.model.selection import other_links, require_links, select, units_of

RAIL = travels.Travel((travels.RAIL,))
HISTORY = RAIL.history(travels.along(200, 600, 1000), ("near", "mid", "far"))


def numbers(words, history=HISTORY, links=("z",)):
    return [each.revision.number for each in select(history, words, links)]


def problems(words, history=HISTORY, links=("z",)):
    with pytest.raises(FitError) as error:
        select(history, words, links)
    return " | ".join(error.value.problems)


def z(value, units="mm"):
    return {"z": {"value": value, "units": units}}


def corrected(*corrections):
    return replace(HISTORY, corrections=corrections)


SUPERSEDED = Correction(1, "supersede", 2, 3, None, None, "typed wrong", travels.day(5), "bob")
RETRACTED = Correction(1, "retract", 3, None, None, None, "beam stop", travels.day(5), "bob")


def test_labels_and_numbers_are_selected_once():
    assert numbers("near,mid,far") == [1, 2, 3]
    assert numbers("far, 1,near") == [3, 1]
    assert [each.name for each in select(HISTORY, "2", ("z",))] == ["revision 2 (mid)"]


def test_all_are_the_newest_of_each_position_that_are_right():
    again = [*HISTORY.revisions, RAIL.revision(4, {"z": 200.0}, "near"), travels.made(5, geometry(), None)]
    assert numbers("all", travels.history_of(again)) == [2, 3, 4]
    assert numbers("all", corrected(SUPERSEDED)) == [1, 3]


def test_all_are_of_the_detector_of_the_newest():
    other = travels.made(4, replace(geometry(), detector="Pilatus1M"), z(300.0))
    assert numbers("all", travels.history_of([*HISTORY.revisions, other])) == [4]


def test_corrected_and_undone_revisions_are_refused_with_the_reason():
    assert problems("1,2", corrected(SUPERSEDED)) == (
        "revision 2 (mid) is superseded by revision 3: typed wrong; choose revisions that are right"
    )
    assert "revision 3 (far) is retracted: beam stop" in problems("1,3", corrected(RETRACTED))
    assert "no revision labelled far is neither corrected nor undone" in problems("near,far", corrected(RETRACTED))


def test_models_are_no_members():
    model = travels.made(4, geometry(), z(600.0), "travel", provenance={"method": "model", "model": {}})
    history = travels.history_of([*HISTORY.revisions, model])
    assert numbers("all", history) == [1, 2, 3]
    assert problems("near,travel", history) == (
        "revision 4 (travel) is a model, fitted to other revisions: choose calibrations"
    )


def derived(number, origin, position=600.0):
    return travels.made(number, geometry(), z(position), provenance={"method": "manual", "derived_from": origin})


def test_what_was_made_of_the_geometry_of_a_model_is_no_member():
    """An edit of a computed geometry, and an edit of that: a model is not tested by its own values."""
    model = travels.made(4, geometry(), z(600.0), "travel", provenance={"method": "model", "model": {}})
    history = travels.history_of([*HISTORY.revisions, model, derived(5, 4), derived(6, 5), derived(7, 5, 700.0)])
    assert numbers("all", history) == [1, 2, 3]
    for number in (5, 6, 7):
        assert problems(f"1,{number}", history).startswith(
            f"revision {number} was made of the geometry of revision 4 (travel), a model: values that a model computed "
            "test none; choose calibrations, or calibrate at this position"
        )


def test_edit_of_a_calibration_is_a_member():
    history = travels.history_of(
        [*HISTORY.revisions, derived(4, 3, 1000.0), derived(5, 4, 700.0), derived(6, 6, 800.0)]
    )
    assert numbers("all", history) == [1, 2, 4, 5, 6]
    assert numbers("5,6", history) == [5, 6]


def test_undone_revisions_are_refused():
    undo = Activation(4, 1, travels.day(4), UNDO, "bob")
    undone = replace(HISTORY, activations=(*HISTORY.activations, undo), undos=(UndoRecord(1, 4, 2, 1),))
    assert "revision 2 (mid) was undone" in problems("1,2", undone)
    assert numbers("all", undone) == [1, 3]


def test_unknown_positions_are_refused():
    history = travels.history_of([*HISTORY.revisions, travels.made(4, geometry(), None)])
    assert "revision 4 has no position of z: a model needs to know where it was calibrated" in problems("1,4", history)
    assert "revision 1 (near) has no position of x" in problems("1", links=("x",))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"detector": "Pilatus1M"}, "detector"),
        ({"pixel1": 4e-4}, "pixel1"),
        ({"detector_config": {"orientation": 1}}, "orientation"),
        ({"rot3": 0.1}, "rot3"),
    ],
)
def test_mixed_members_are_refused(values, name):
    other = travels.made(4, replace(geometry(), **values), z(300.0), "other")
    text = problems("1,4", travels.history_of([*HISTORY.revisions, other]))
    assert text.startswith(f"{name} differs: ")
    assert "in revision 4 (other); a model needs calibrations of one detector" in text


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("9", "there is no revision 9: XF:28ID1-ES{Det:PE1}Calib: has 3"),
        ("0", "there is no revision 0"),
        ("middle", "the history has labels far, mid, near"),
        (" ,", "--revisions is empty"),
    ],
)
def test_words_that_select_nothing_are_refused(words, problem):
    assert problem in problems(words)


def test_empty_history_is_refused():
    assert problems("all", travels.history_of([])) == f"{travels.PREFIX} is UNSET: no geometry was ever committed"


def test_all_of_a_history_without_positions_is_refused():
    assert "has a position of x" in problems("all", links=("x",))


@pytest.mark.parametrize(
    ("link", "configured", "problem"),
    [
        (
            "zz",
            (),
            r"zz is no link of .*: expected one of z \(did you mean z\?\); if zz was configured",
        ),
        ("Z", (), r"\(did you mean z\?\)"),
        ("q", ("z", "tth"), r"q is no link of XF:28ID1-ES\{Det:PE1\}Calib:: expected one of tth, z$"),
    ],
)
def test_link_that_the_detector_does_not_have_is_refused(link, configured, problem):
    with pytest.raises(FitError, match=problem):
        require_links(HISTORY, ("z", link), configured)


def test_link_that_is_configured_or_recorded_is_one():
    require_links(HISTORY, ("z", "tth"), ("tth",))
    require_links(travels.history_of([]), ("z",), ())


def test_units_are_those_of_the_last_and_values_are_converted():
    other = travels.made(4, geometry(), z(0.3, "m"), "other")
    members = select(travels.history_of([*HISTORY.revisions, other]), "1,4", ("z",))
    assert units_of(members, "z") == "m"
    assert members[0].value("z", "m") == pytest.approx(0.2)
    assert members[0].value("z", "deg") is None


def test_other_links_that_differ_are_listed():
    places = [z(number) | {"x": {"value": x, "units": "mm"}} for number, x in ((1, 1.0), (2, 1.5))]
    one, two = (travels.made(number, geometry(), place) for number, place in enumerate(places, 1))
    members = select(travels.history_of([one, two]), "1,2", ("z",))
    assert other_links(members, ("z",)) == {"x": (1.0, 1.5, "mm")}
    assert other_links(members[:1], ("z",)) == {}
