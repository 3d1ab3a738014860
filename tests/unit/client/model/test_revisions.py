"""Which revision is the model of a detector, and which of its members turned out to be wrong."""

from dataclasses import replace

import travels
from ponikeeper.history import Activation, Correction
from ponikeeper.history.records import FOLLOWED, UNDO, UndoRecord
from ponikeeper_client.model.history_fit import Knowledge, fit_history
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.revisions import active_model, corrected_members

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


def test_corrected_members_are_those_of_the_model():
    wrong = [
        Correction(number, "retract", revision, None, None, None, "beam stop", travels.day(5), "bob")
        for number, revision in enumerate((2, 9), 1)
    ]
    assert corrected_members(MODEL, wrong) == {2: "retracted: beam stop"}
    assert corrected_members(MODEL, []) == {}
