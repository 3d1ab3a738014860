"""Which revision is the model of a detector, and which of its members turned out to be wrong."""

from dataclasses import replace

import travels
from ponikeeper.history import Activation, Correction, DerivedGeometry
from ponikeeper.history.records import FOLLOWED, UNDO, UndoRecord
from ponikeeper_client.model.history_fit import Knowledge, fit_history
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.revisions import active_model, model_behind, no_model_text

RAIL = travels.Travel((travels.RAIL,))
CALIBRATED = RAIL.history(travels.along(200, 600, 1000))
MODEL = fit_history(CALIBRATED, "all", Motion(("z",), (), None), Knowledge()).fitted.model


def model_revision(number):
    position = {"z": {"value": 600.0, "units": "mm"}}
    return travels.made(number, MODEL.geometry, position, provenance={"method": "model", "model": MODEL.as_dict()})


def history(*more, **records):
    return replace(travels.history_of([*CALIBRATED.revisions, *more]), **records)


def number(found):
    return None if found is None else found.number


def test_model_that_was_committed_last_is_the_model_although_a_calibration_is_active():
    two = history(model_revision(4), model_revision(5), RAIL.revision(6, {"z": 400.0}))
    followed = Activation(7, 4, travels.day(7), FOLLOWED, "links")
    assert number(active_model(replace(two, activations=(*two.activations, followed)))) == 5
    assert active_model(CALIBRATED) is None


def test_model_that_was_undone_or_corrected_is_none():
    two = history(model_revision(4), model_revision(5))
    undo = Activation(6, 4, travels.day(6), UNDO, "bob")
    undone = replace(two, activations=(*two.activations, undo), undos=(UndoRecord(1, 6, 5, 5),))
    assert number(active_model(undone)) == 4
    correction = Correction(1, "retract", 5, None, None, None, "bent", travels.day(6), "bob")
    assert number(active_model(replace(two, corrections=(correction,)))) == 4


def test_newest_model_is_named_where_none_is_right():
    undo = Activation(6, 4, travels.day(6), UNDO, "bob")
    two = history(model_revision(4), model_revision(5))
    undone = replace(two, activations=(*two.activations, undo), undos=(UndoRecord(1, 6, 5, 4),))
    shown = f"ponikeeper model show '{travels.PREFIX}' --revision"
    assert f"the newest one, revision 5, was undone; {shown} 5 " in no_model_text(undone)
    wrong = Correction(1, "retract", 5, None, None, None, "beam stop", travels.day(8), "bob")
    assert "revision 5, was retracted: beam stop; " in no_model_text(replace(two, corrections=(wrong,)))
    assert no_model_text(CALIBRATED).startswith(f"{travels.PREFIX} has no model: fit one to its calibrations")


def test_model_behind_an_edit_is_found_and_a_damaged_chain_ends():
    def edit(count, origin):
        provenance = {"method": "manual", "derived_from": origin}
        return travels.made(count, MODEL.geometry, None, provenance=provenance)

    edits = [edit(5, 4), edit(6, 5), edit(7, 1), edit(8, 8), edit(9, 99), edit(10, "x")]
    records = history(model_revision(4), *edits)
    found = [number(model_behind(records, revision)) for revision in records.revisions]
    assert found == [None, None, None, None, 4, 4, None, None, None, None]


def test_model_behind_the_very_same_values_is_found_unless_they_were_calibrated_before():
    """What `ponikeeper get` writes and `ponikeeper put` commits has no ``derived_from``."""
    computed = MODEL.geometry_at({"z": 523.0})
    place = {"z": {"value": 523.0, "units": "mm"}}
    calibrated = CALIBRATED.revisions[0].geometry
    put = [travels.made(5, computed, place), travels.made(6, calibrated, None)]
    derived = tuple(
        DerivedGeometry(1 + index, 4, 4, each, place, {}) for index, each in enumerate((computed, calibrated))
    )
    records = history(model_revision(4), *put, derived=derived)
    found = [number(model_behind(records, revision)) for revision in records.revisions]
    assert found == [None, None, None, None, 4, None]
