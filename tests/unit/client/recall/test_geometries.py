"""The geometry of each event of a run whose detector travels, from its documents and from an exported history."""

import dataclasses
import math

import pytest

from ponikeeper.errors import NoGeometryError, NotValidError
from ponikeeper.history import history_file
from ponikeeper.protocol import LinkState
from ponikeeper_client.recall import azimuthal_integrator, best_known, geometries, poni, recorded, timeline
from ponikeeper_client.recall._affected import find_affected
from ponikeeper_client.recall._histories import FileHistory
from ponikeeper_client.recall._pyfai import select_geometry
from rails import FAR, MIDDLE, NEAR
from recalling import PREFIX, configured, history, judge, revision, snapshot, taken
from travelled import MOVES, READ, Travel, Z, committed, documents, with_baseline

RESTS = (1010.0, 1200.0, 1333.3)
BETWEEN = 1100.0
EXACT = 1e-12


@pytest.fixture
def travel():
    return Travel(RESTS)


def read(*places):
    return [{"det_z": place} for place in places]


def numbers(geometry):
    return [getattr(geometry, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")]


def is_close(one, other):
    return all(abs(a - b) <= EXACT for a, b in zip(numbers(one), numbers(other), strict=True))


# --- rests and positions between them


def test_rests_have_the_recorded_bits_and_other_positions_are_computed_with_their_uncertainty(travel):
    run = documents(travel.snapshot(1), read(*RESTS, BETWEEN, RESTS[0]))
    found = geometries(run, history=travel.history())
    assert [one.seq_nums for one in found] == [(number,) for number in range(1, 6)]
    assert [one.geometry for one in found[:3]] == [derived.geometry for derived in travel.derived]
    assert [one.computed for one in found] == ["", "", "", "z = 1100 mm", ""]
    assert found[3].geometry == travel.at(BETWEEN)
    assert found[3].evaluation == travel.model.evaluate({"z": BETWEEN})
    assert found[3].position == {"z": BETWEEN}
    assert {one.status for one in found} == {"VALID"}
    assert "revision 3 VALID, computed by recall for z = 1100 mm" in found[3].summary


def test_without_a_history_other_rests_are_computed(travel):
    found = geometries(documents(travel.snapshot(2), read(*RESTS)))
    assert [one.computed for one in found] == ["z = 1010 mm", "", "z = 1333.3 mm"]
    assert all(is_close(one.geometry, each.geometry) for one, each in zip(found, travel.derived, strict=True))
    assert {one.authority for one in found} == {"the run"}


def test_recorded_bits_are_returned_where_this_machine_computes_others(travel):
    """The IOC ran on another machine, whose last bit differed."""
    other = travel.derived[1]
    shifted = dataclasses.replace(other.geometry, dist=math.nextafter(other.geometry.dist, 1.0))
    travel.derived[1] = dataclasses.replace(other, geometry=shifted)
    run = documents(travel.snapshot(2), read(RESTS[1], RESTS[0]))
    for given in (None, travel.history()):
        first, second = geometries(run, history=given)
        assert (first.geometry, first.computed, first.status) == (shifted, "", "VALID")
        assert second.geometry == travel.at(RESTS[0])
    assert recorded(run)[0].geometry == best_known(run, history=travel.history())[0].geometry == shifted


@pytest.mark.parametrize("where", ["descriptor", "history"])
def test_recorded_geometry_that_is_not_what_the_model_gives_is_refused(travel, where, caplog):
    other = travel.derived[0]
    wrong = dataclasses.replace(other, geometry=dataclasses.replace(other.geometry, poni1=other.geometry.poni1 + 1e-9))
    if where == "descriptor":
        travel.derived[0] = wrong
    run = documents(travel.snapshot(1), read(*RESTS))
    travel.derived[0] = wrong
    if where == "descriptor":
        (first, *_) = geometries(run)
        assert first.geometry is None
        with pytest.raises(NoGeometryError, match="recorded poni1 differs by 1e-09 m from what its model gives"):
            azimuthal_integrator(first)
        assert "recorded poni1 differs" in caplog.text
    with pytest.raises(NoGeometryError, match="one of them was changed"):
        geometries(run, history=travel.history())
    with pytest.raises(NoGeometryError, match="one of them was changed"):
        best_known(run, history=travel.history())


def test_another_model_under_the_same_uid_is_refused(travel):
    run = documents(travel.snapshot(1), read(*RESTS))
    last = travel.revisions[2]
    other = dataclasses.replace(travel.model, scatter=1e-6)
    travel.revisions[2] = dataclasses.replace(last, provenance={**last.provenance, "model": other.as_dict()})
    with pytest.raises(NoGeometryError, match="the model differs"):
        geometries(run, history=travel.history())


def test_history_that_ends_before_the_run_still_verifies_it(travel):
    run = documents(travel.snapshot(3), read(*RESTS))
    history = travel.history()
    earlier = dataclasses.replace(history, activations=history.activations[:3], derived=history.derived[:1])
    found = geometries(run, history=history_file.read(history_file.write(earlier)))
    assert [one.geometry for one in found] == [each.geometry for each in travel.derived]
    assert [one.computed for one in found] == ["", "z = 1200 mm", ""]


# --- recorded


def test_recorded_geometry_is_that_of_the_events_at_its_position(travel):
    run = documents(travel.snapshot(1), read(RESTS[0], RESTS[1], BETWEEN, RESTS[0], RESTS[0] + 1e-3))
    found = recorded(run)
    assert [(one.seq_nums, one.geometry is None) for one in found] == [((1,), False), ((2, 3), True), ((4, 5), False)]
    with pytest.raises(NoGeometryError, match=r"geometries\(run\) returns the geometry of each event"):
        azimuthal_integrator(run, event=2)
    assert select_geometry(run, event=4).require_geometry() == travel.derived[0].geometry
    assert select_geometry(geometries(run), event=3).require_geometry() == travel.at(BETWEEN)
    assert "revision 3, a model" in repr(found)
    known = best_known(run, history=travel.history())
    assert [one.geometry is None for one in known] == [False, True, False]


def test_lines_of_files_say_for_which_position(travel):
    run = documents(travel.snapshot(1), read(RESTS[0], RESTS[1], BETWEEN))
    assert "what this model gave for z = 1010 mm" in poni(recorded(run)[0])
    first, rest, between = map(poni, geometries(run, history=travel.history()))
    assert "what this model gave for z = 1010 mm" in first
    assert "what this model gave for z = 1200 mm" in rest
    assert "what this model gives for z = 1100 mm, computed by recall" in between
    assert "link z (X:z.RBV): 1100 mm, computed for 1100 mm" in between
    assert "covariance" in between


def test_run_without_a_model_has_the_recorded_geometry_for_each_event(travel):
    from recalling import configured, placed, snapshot, taken

    run = taken([("primary", configured(snapshot(placed(1, NEAR))), [1.0, 2.0])])
    found = geometries(run)
    assert [(one.seq_nums, one.geometry) for one in found] == [((n,), placed(1, NEAR).geometry) for n in (1, 2)]
    assert [(one.revision, one.uid) for one in found] == [(1, placed(1, NEAR).uid)] * 2
    assert found[0].position == {}


# --- where the position comes from


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ({"source": "PV:X:z.RBV", "units": "um"}, RESTS[1] * 1e3),
        ({"source": "PV:X:z.RBV", "units": "microme"}, RESTS[1] * 1e3),
        ({"source": "ca://X:z.RBV", "units": "mm"}, RESTS[1]),
        ({"source": "PV:X:z.RBV"}, RESTS[1]),
    ],
)
def test_column_is_found_by_its_source_and_its_units_are_converted(travel, key, value):
    keys = {"any": {"dtype": "number", "shape": [], "object_name": "any", **key}}
    (found,) = geometries(documents(travel.snapshot(2), [{"any": value}], keys))
    assert (found.position, found.computed) == ({"z": RESTS[1]}, "")


def test_simulated_motor_is_found_by_name_only(travel):
    keys = {"det_z": {"source": "SIM:det_z", "dtype": "number", "shape": [], "object_name": "det_z"}}
    run = documents(travel.snapshot(1), read(*RESTS), keys)
    (only,) = recorded(run)
    assert only.geometry is None
    message = r"geometries\(run, position_keys={'z': 'KEY'}\) names one of det_z"
    with pytest.raises(NoGeometryError, match=message):
        only.require_geometry()
    with pytest.raises(NoGeometryError, match=message):
        geometries(run)[0].require_geometry()
    found = geometries(run, position_keys={"z": "det_z"}, history=travel.history())
    assert [one.geometry for one in found] == [each.geometry for each in travel.derived]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"y": "det_z"}, "y is no link of the model; these are z"),
        ({"z": "dz"}, "the events have no dz; they have det_z"),
    ],
)
def test_wrong_names_are_reported(travel, keys, message):
    with pytest.raises(NoGeometryError, match=message):
        geometries(documents(travel.snapshot(1), read(*RESTS)), position_keys=keys)


@pytest.mark.parametrize("units", ["Schritt", "counts"])
def test_word_of_the_site_for_units_means_those_of_the_link_where_the_ioc_read_the_same_pv(travel, units):
    """The IOC is configured for the word; of another column it is not known what the word means."""
    keys = {"det_z": {**READ["det_z"], "units": units}, "other": {**READ["det_z"], "source": "SIM:x", "units": units}}
    run = documents(travel.snapshot(1), [{"det_z": RESTS[1], "other": RESTS[1]}], keys)
    assert geometries(run)[0].geometry == travel.derived[1].geometry
    (other,) = geometries(run, position_keys={"z": "other"})
    assert (other.geometry, other.reason) == (None, f"other is in {units}, which cannot be converted to the mm of z")
    lost = dataclasses.replace(Z, value=None, error=f"its units are {units}")
    unread = documents(travel.snapshot(1, "UNKNOWN", [lost]), [{"det_z": RESTS[1], "other": 0.0}], keys)
    assert geometries(unread)[0].geometry is None


@pytest.mark.parametrize("keys", [{"z": None}, {"z": ["det_z"]}, {3: "det_z"}, "z", ["z"]])
def test_position_keys_that_are_no_names_are_refused(travel, keys):
    with pytest.raises(ValueError, match=r'position_keys=.* is not possible: expected .*\{"z": "motor"\}'):
        geometries(documents(travel.snapshot(1), read(RESTS[0])), position_keys=keys)


@pytest.mark.parametrize("exposure", [True, b"0.1", [0.1], -1, float("nan")])
def test_exposure_that_is_no_time_is_refused(travel, exposure):
    with pytest.raises(ValueError, match=r"exposure=.* is not possible: expected seconds, 0 or more, or a data key"):
        geometries(documents(travel.snapshot(1), read(RESTS[0])), exposure=exposure)


def test_model_of_the_run_by_its_number_is_that_of_the_recorded_position(travel):
    run = documents(travel.snapshot(1), read(RESTS[0]))
    (known,) = best_known(run, revision=3, history=travel.history())
    assert (known.geometry, known.status, known.computed) == (travel.derived[0].geometry, "VALID", "")


def test_units_that_cannot_be_converted_and_missing_values_give_no_geometry(travel):
    keys = {"det_z": {**READ["det_z"], "units": "deg"}}
    (found,) = geometries(documents(travel.snapshot(1), read(RESTS[0]), keys))
    assert "det_z is in deg, which cannot be converted to the mm of z" in found.reason
    (found,) = geometries(documents(travel.snapshot(1), read(math.nan)))
    assert "event 1 has no number in det_z" in found.reason


def test_setpoint_is_not_taken_for_the_readback(travel):
    keys = {"det_z": {**READ["det_z"], "source": "PV:X:z.VAL"}}
    (found,) = geometries(documents(travel.snapshot(1), read(RESTS[0]), keys))
    assert "no column of the events is known to have it" in found.reason


def test_run_without_a_guard_and_without_a_column_has_the_geometry_of_its_start(travel):
    keys = {"total": {"source": "SIM:total", "dtype": "number", "shape": [], "object_name": "pe1"}}
    run = documents(travel.snapshot(1), [{"total": 1.0}], keys, {})
    (only,) = recorded(run)
    assert only.geometry == travel.derived[0].geometry
    assert "status known at the start of the stream only" in only.notes


# --- status


@pytest.mark.parametrize(
    ("place", "status", "reason"),
    [(FAR + 41, "OUT_OF_RANGE", "z is at 1441 mm, the model holds for z 960 to 1440 mm"), (FAR + 39, "VALID", "")],
)
def test_outside_of_the_range_it_is_refused(travel, place, status, reason):
    (found,) = geometries(documents(travel.snapshot(1), read(place)))
    assert (found.status, found.status_reason[: len(reason)]) == (status, reason)
    assert found.require_geometry(any_status=True) == travel.at(place)
    if status != "VALID":
        with pytest.raises(NotValidError, match="is OUT_OF_RANGE: z is at 1441 mm"):
            found.require_geometry()


@pytest.mark.parametrize(
    ("sigma", "status", "reason"),
    [
        (6e-5, "UNCERTAIN", "the model is uncertain by 0.39 px for z = 1100 mm"),
        (1e-4, "OUT_OF_RANGE", "the model is uncertain by 0.66 px here, more than 0.5 px"),
    ],
)
def test_uncertainty_at_the_position_decides(sigma, status, reason):
    travel = Travel(RESTS, sigma)
    (found,) = geometries(documents(travel.snapshot(1), read(BETWEEN)))
    assert (found.status, found.status_reason) == (status, reason)


def test_link_that_is_no_joint_counts_as_the_run_recorded_it(travel):
    y = LinkState("y", "X:y.RBV", "motor", "mm", 0.1, 7.0, 0.0, False, True, False)
    found = travel.snapshot(1, "MOVED", [dataclasses.replace(Z, value=RESTS[0], calibrated=RESTS[0]), y])
    found = dataclasses.replace(found, position={**found.position, "y": {"value": 0.0, "units": "mm"}})
    (first,) = geometries(documents(found, read(BETWEEN)))
    assert first.status == "MOVED"
    with pytest.raises(NotValidError, match="y"):
        first.require_geometry()
    assert first.require_geometry(any_status=True) == travel.at(BETWEEN)


@pytest.mark.parametrize("status", ["MOVING", "OUT_OF_RANGE"])
def test_status_that_joints_explain_is_decided_again_for_the_position_of_the_event(travel, status):
    z = dataclasses.replace(Z, value=RESTS[0] + 20, calibrated=RESTS[0], moving=status == "MOVING", within=False)
    (found,) = geometries(documents(travel.snapshot(1, status, [z]), read(BETWEEN)))
    assert (found.status, found.geometry) == ("VALID", travel.at(BETWEEN))


def test_link_that_moved_during_the_exposure_though_not_on_purpose_needs_the_exposure_time(travel):
    """The guard recorded the event as MOVING."""
    z = dataclasses.replace(Z, value=BETWEEN, calibrated=RESTS[0], moving=True, within=False)
    start = {"calibration_guard": [{"on_change": "new_descriptor", "on_status": "warn", "moving": []}]}
    run = documents(travel.snapshot(1, "MOVING", [z]), read(BETWEEN), start=start)
    (found,) = geometries(run)
    with pytest.raises(NotValidError, match="exposure=0 neglects it"):
        found.require_geometry()
    assert found.require_geometry(any_status=True) == travel.at(BETWEEN)
    assert geometries(run, exposure=0)[0].require_geometry() == travel.at(BETWEEN)


@pytest.mark.parametrize("status", ["RETRACTED", "UNKNOWN", "SOMETHING_NEW"])
def test_other_statuses_stay(travel, status):
    (found,) = geometries(documents(travel.snapshot(1, status), read(BETWEEN)))
    assert found.status == status


# --- corrections


def test_model_whose_member_was_corrected_counts_as_affected_and_says_what_to_do(travel):
    run = documents(travel.snapshot(1), read(*RESTS))
    history = travel.history([judge(1, 2)])
    for one in (best_known(run, history=history)[0], *geometries(run, history=history)):
        assert one.status == "RETRACTED"
        with pytest.raises(
            NotValidError, match=r"revision 2, to which the model .* was retracted.*fit the model again"
        ):
            one.require_geometry()
    found = find_affected([run], PREFIX, 2, FileHistory(history))
    assert [one.member for one in found.affected] == [2, 2]
    assert found.affected[0].known_text() == "by a model that was fitted to revision 2, RETRACTED"
    assert not find_affected([run], PREFIX, 1, FileHistory(history)).others


def test_model_that_replaces_another_one_is_evaluated_at_the_position_of_each_event(travel):
    better = dataclasses.replace(travel.model, geometry=dataclasses.replace(travel.model.geometry, poni1=0.123))
    history = travel.history([judge(1, 3, 4)], [committed(4, better)])
    run = documents(travel.snapshot(1), read(*RESTS, BETWEEN))
    assert geometries(run, history=history)[0].status == "SUPERSEDED"
    found = geometries(run, best=True, history=history)
    places = (*RESTS, BETWEEN)
    assert [one.geometry for one in found] == [better.geometry_at({"z": place}) for place in places]
    assert [one.computed for one in found] == [f"z = {place:.10g} mm" for place in places]
    assert {one.status for one in found} == {"VALID"}
    known = best_known(run, history=history)[0]
    assert (known.geometry, known.computed) == (better.geometry_at({"z": RESTS[0]}), "z = 1010 mm")


def test_best_geometry_of_a_run_without_a_model_is_that_of_the_right_revision():
    run, right = taken([("primary", configured(snapshot(revision(1))), [1.0, 2.0])]), revision(2)
    corrected = history(2, [judge(1, 1, 2)])
    assert [one.status for one in geometries(run, history=corrected)] == ["SUPERSEDED"] * 2
    found = geometries(run, best=True, history=corrected)
    assert [(one.uid, one.geometry) for one in found] == [(right.uid, right.geometry)] * 2
    assert {one.status for one in found} == {"VALID"}
    retracted, _ = geometries(run, best=True, history=history(2, [judge(1, 1)]))
    assert retracted.geometry is None


def test_retracted_model_has_nothing_right(travel):
    run = documents(travel.snapshot(1), read(*RESTS))
    found = geometries(run, best=True, history=travel.history([judge(1, 3)]))
    assert [one.geometry for one in found] == [None] * 3
    assert "retracted" in found[0].reason


def test_model_is_used_where_a_calibration_was_active_elsewhere(travel):
    """The near calibration was active at the middle: revision=3 computes what the model gives there."""
    near = travel.revisions[0]
    z = dataclasses.replace(Z, value=MIDDLE, calibrated=NEAR, within=False)
    moved = dataclasses.replace(snapshot(near, status="MOVED"), link_states=(z,), reason="z is at 1200 mm")
    run = taken([("primary", configured(moved), [1.0])])
    (found,) = best_known(run, revision=3, history=travel.history())
    assert (found.geometry, found.computed, found.status) == (travel.at(MIDDLE), "z = 1200 mm", "VALID")


# --- exposures


def fly(travel, places, times, stamps=None):
    return documents(travel.snapshot(1), read(*places), times=times, stamps=times if stamps is None else stamps)


def test_position_in_the_middle_of_the_exposure_and_the_travel_in_the_uncertainty(travel):
    run = fly(travel, [1010.0, 1020.0, 1030.0], [1.0, 2.0, 3.0])
    first, second, third = geometries(run, exposure=0.5)
    assert "when the exposure of event 1 began is not recorded: exposure=0 uses" in first.reason
    assert second.position["z"] == pytest.approx(1017.5, abs=1e-5)
    assert third.geometry == travel.model.geometry_at(third.position)
    as_read = travel.model.evaluate(second.position)
    assert second.evaluation.rms_px > as_read.rms_px
    assert second.evaluation.sigma["dist"] == pytest.approx(
        math.hypot(as_read.sigma["dist"], 5e-3 / math.sqrt(12)), rel=0.01
    )


def test_too_long_an_exposure_is_refused_with_the_travel(travel):
    run = fly(travel, [1010.0, 1200.0, 1390.0], [1.0, 2.0, 3.0])
    found = geometries(run, exposure=1.0)[2]
    assert found.status == "OUT_OF_RANGE"
    with pytest.raises(NotValidError, match="during the exposure it moved along z by 190 mm"):
        found.require_geometry()
    assert found.require_geometry(any_status=True)


def test_exposure_of_a_detector_at_rest_has_the_recorded_bits(travel):
    run = documents(travel.snapshot(1), read(*RESTS), times=[1.0, 4.0, 7.0], stamps=[0.2, 3.2, 6.2])
    found = geometries(run, exposure=0.5, history=travel.history())
    assert [one.geometry for one in found] == [each.geometry for each in travel.derived]
    assert {one.computed for one in found} == {""}


@pytest.mark.parametrize(("times", "stamps"), [([9.0, 9.1], [1.0, 2.0]), ([1.0, 2.0], [1.0, 2.0])])
def test_flight_of_a_plan_of_any_name_is_known_by_the_times_of_its_events(travel, times, stamps):
    """Its events are collected when it has ended, or a device made them with the timestamp of the reading."""
    run = fly(travel, [1010.0, 1020.0], times, stamps)
    assert all("the detector was exposed in flight" in one.reason for one in geometries(run))
    assert geometries(run, exposure=0)[1].geometry == travel.at(1020.0)


def test_exposure_time_can_be_a_data_key(travel):
    keys = {**READ, "seconds": {"source": "SIM:seconds", "dtype": "number", "shape": [], "object_name": "pe1"}}
    events = [{"det_z": place, "seconds": 0.5} for place in (1010.0, 1020.0, 1030.0)]
    run = documents(travel.snapshot(1), events, keys, times=[1.0, 2.0, 3.0], stamps=[1.0, 2.0, 3.0])
    assert geometries(run, exposure="seconds")[1].position["z"] == pytest.approx(1017.5, abs=1e-5)
    with pytest.raises(NoGeometryError, match="exposure='minutes': the events have no such key"):
        geometries(run, exposure="minutes")
    with pytest.raises(ValueError, match="expected seconds, 0 or more"):
        geometries(run, exposure=-1.0)


def test_timestamps_that_go_back_are_refused(travel):
    run = fly(travel, [1010.0, 1020.0, 1030.0], [1.0, 2.0, 3.0], [1.0, 2.5, 2.0])
    found = geometries(run, exposure=0.1)
    assert {one.geometry for one in found} == {None}
    assert "the timestamps of det_z are not in the order of the events" in found[0].reason


def test_flight_needs_the_exposure_time(travel):
    run = documents(travel.snapshot(1), read(1010.0, 1020.0), start={**MOVES, "plan_name": "fly"})
    found = geometries(run)
    assert {one.geometry for one in found} == {None}
    assert "exposed in flight" in found[0].reason
    assert "exposure=0 uses the positions as they are" in found[0].reason
    assert geometries(run, exposure=0)[1].geometry == travel.at(1020.0)


# --- the history over time


def test_timeline_has_what_the_model_gave_at_each_activation(travel):
    pytest.importorskip("pandas")
    table = timeline(travel.history(), by="activation")
    assert list(table["dist"][2:]) == [each.geometry.dist for each in travel.derived]
    assert list(table["position_z"][2:]) == list(RESTS)
    assert list(table["revision"][2:]) == [3, 3, 3]


def test_names_are_looked_for_in_the_whole_run(travel):
    """A baseline has neither the position nor the exposure time of the stream that is exposed."""
    made = with_baseline(travel.snapshot(1), RESTS[:2])
    found = geometries(made, position_keys={"z": "motor"})
    assert [(one.stream, one.position["z"]) for one in found] == [
        ("baseline", RESTS[0]), ("primary", RESTS[0]), ("primary", RESTS[1]),
    ]  # fmt: skip
    with pytest.raises(NoGeometryError, match="the events have no motor; they have total"):
        geometries(made, stream="baseline", position_keys={"z": "motor"})


def test_uncertainty_of_an_event_is_that_of_its_position(travel):
    from ponikeeper_client.recall._uncertainty import errors_of

    first, second = geometries(documents(travel.snapshot(1), read(RESTS[0], BETWEEN)))
    assert errors_of(second).sigma()["dist"] == pytest.approx(second.evaluation.sigma["dist"])
    assert errors_of(first).sigma()["dist"] != errors_of(second).sigma()["dist"]
