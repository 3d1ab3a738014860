"""The best known geometry of a run, by its uid and the times of its events, or the reason why there is none."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import HistoryError, NoGeometryError
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.history import history_file
from ponikeeper.history.records import LabelRecord
from ponikeeper_client.recall import azimuthal_integrator, best_known, poni, recorded
from ponikeeper_client.recall._best_known import apply_corrections
from ponikeeper_client.recall._histories import FileHistory
from recalling import BEGIN, PREFIX, configured, history, iso, judge, revision, snapshot, taken
from speak import GEOMETRY


def run(number, times=(1.0, 2.0, 3.0, 4.0), store="one", **more):
    return taken([("primary", configured(snapshot(revision(number, store))), times)], **more)


def right(found):
    """Return for each event the revision that is right."""
    return {number: each.revision for each in found for number in each.seq_nums}


def test_revision_without_corrections_is_the_recorded_one():
    (found,) = best_known(run(2), history=history(3, [judge(1, 1, 3)]))
    assert (found.revision, found.geometry, found.corrected) == (2, revision(2).geometry, False)
    assert found.summary == "revision 2 VALID"
    assert found.authority.startswith(f"the history of {PREFIX}, as exported ")


def test_label_is_the_one_that_the_right_revision_has_now():
    labels = (LabelRecord(1, 2, "near", 2, iso(BEGIN + 5.0), "alice"),)
    exported = dataclasses.replace(history(2), labels=labels)
    assert [one.label for one in best_known(run(2), history=exported)] == ["near"]
    corrected = dataclasses.replace(history(2, [judge(1, 1, 2)]), labels=labels)
    assert [one.label for one in best_known(run(1), history=corrected)] == ["near"]
    assert [one.label for one in best_known(run(1), history=exported)] == [None]


def test_chain_leads_to_the_right_revision_with_author_time_and_reason():
    (found,) = best_known(run(1), history=history(3, [judge(1, 1, 2), judge(2, 2, 3)]))
    assert (found.revision, found.uid, found.geometry) == (3, revision(3).uid, revision(3).geometry)
    assert [item.number for item in found.chain] == [1, 2]
    assert found.summary.startswith(
        "revision 3 VALID (recorded: revision 1 VALID; revision 1 superseded by revision 2: reason 1 ["
    )
    assert "alice, 2026" in found.summary
    assert "# recorded was revision 1" in poni(found)


def test_correction_times_split_the_events_of_one_descriptor():
    later = [judge(1, 1, 2, since=BEGIN + 2, until=BEGIN + 4), judge(2, 2, 3, since=BEGIN + 3)]
    found = best_known(run(1), history=history(3, later))
    assert [(each.revision, each.seq_nums) for each in found] == [(1, (1,)), (2, (2,)), (3, (3,)), (1, (4,))]
    assert repr(found).startswith("pe1: primary 1: revision 1 VALID; 2: revision 2 VALID (recorded: revision 1 VALID; ")


def test_retracted_revision_has_no_geometry_and_a_message():
    (found,) = best_known(run(2), history=history(2, [judge(1, 2)]))
    assert (found.geometry, found.revision) == (None, None)
    assert "no geometry: revision 2 was retracted: reason 1 [alice, " in found.summary
    for use in (found.require_geometry, lambda: poni(found), lambda: azimuthal_integrator(found)):
        with pytest.raises(NoGeometryError, match="pe1 primary 1-4: revision 2 was retracted: reason 1"):
            use()


def test_new_store_is_never_searched_by_number():
    with pytest.raises(NoGeometryError, match=r"was created again.*give an export that has it"):
        best_known(run(2), history=history(5, store="two"))
    (found,) = best_known(run(2), history=[history(5, store="two"), history(3)])
    assert found.geometry == revision(2).geometry


def test_another_uid_is_another_geometry_in_any_history():
    (found,) = recorded(run(2))
    with pytest.raises(
        NoGeometryError, match="another geometry of the same number, the store was created again; give the"
    ):
        apply_corrections(found, FileHistory(history(5, store="two")))


def test_of_several_exports_of_one_store_the_later_one_counts():
    early, late = history(2), history(4, [judge(1, 2, 4)])
    for order in ((early, late), (late, early)):
        assert best_known(run(2), history=order)[0].revision == 4


def test_history_of_other_pvs_is_refused():
    with pytest.raises(NoGeometryError, match=r"the given histories are of Y:"):
        best_known(run(2), history=history(3, prefix="Y:"))


def test_history_that_ends_before_the_revision_is_refused():
    with pytest.raises(NoGeometryError, match="they end before it"):
        best_known(run(3), history=history(2))


@pytest.mark.parametrize("change", [{"checksum": "sha256:0"}, {"dist": 0.5}])
def test_record_that_is_not_what_was_committed_is_refused(change):
    found = configured(snapshot(revision(2)))
    found["pe1"]["data"] |= {f"pe1_calib_{name}": value for name, value in change.items()}
    with pytest.raises(NoGeometryError, match="is not what the run recorded under the same uid"):
        best_known(taken([("primary", found, [1.0])]), history=history(3))


def test_value_that_the_run_lost_is_found_by_the_uid():
    lost = configured(snapshot(revision(2)))
    lost["pe1"]["data"]["pe1_calib_rot1"] = None
    (found,) = best_known(taken([("primary", lost, [1.0])]), history=history(3))
    assert found.recorded.geometry is None
    assert found.geometry == revision(2).geometry


def test_file_is_read_and_a_damaged_one_refused(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_bytes(history_file.write(history(3, [judge(1, 2, 3)])))
    assert best_known(run(2), history=path)[0].revision == 3
    assert best_known(run(2), history=str(path))[0].revision == 3
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(HistoryError, match=r"history\.jsonl: "):
        best_known(run(2), history=path)
    with pytest.raises(HistoryError, match="expected an exported history"):
        best_known(run(2), history=tmp_path / "none")


def test_run_that_names_no_revision_is_known_as_it_was_recorded():
    values = {name: GEOMETRY[name] for name in NAMES}
    (found,) = best_known(taken([("primary", configured(values), [1.0])]), history=history(3, [judge(1, 1)]))
    assert (found.geometry, found.corrected, found.authority) == (found.recorded.geometry, False, "the run")
    assert "recorded no revision" in found.summary


def test_nothing_in_force_stays_nothing():
    (found,) = best_known(taken([("primary", configured(snapshot(None)), [1.0])]), history=history(3))
    assert found.geometry is None
    assert "UNSET" in found.reason


def test_run_without_its_pvs_is_looked_up_in_exports_only():
    bare = configured(snapshot(revision(2)))
    bare["pe1"]["data_keys"] = {}
    documents = taken([("primary", bare, [1.0])])
    assert recorded(documents)[0].prefix is None
    assert best_known(documents, history=history(3, [judge(1, 2, 3)]))[0].revision == 3
    with pytest.raises(NoGeometryError, match=r"does not say from which PVs .* give the exported history"):
        best_known(documents)


# --- events whose own time is not known


@pytest.mark.parametrize(
    ("since", "until", "revision_right"),
    [
        (None, None, 2),
        (BEGIN - 5, None, 2),
        (BEGIN + 1, None, 2),
        (None, BEGIN + 1, 1),
        (BEGIN + 1.000001, None, None),
        (None, BEGIN + 30, None),
        (BEGIN + 61, None, None),
        (BEGIN + 61.000001, None, 1),
        (BEGIN + 70, BEGIN + 80, 1),
        (BEGIN - 5, BEGIN + 61.000001, 2),
    ],
)
def test_stream_without_events_is_looked_up_by_the_time_that_it_covers(since, until, revision_right):
    (found,) = best_known(run(1, times=(), end=61.0), history=history(2, [judge(1, 1, 2, since, until)]))
    assert found.revision == revision_right
    if revision_right is None:
        assert "it is unknown on which side the events are" in found.reason
        with pytest.raises(NoGeometryError, match="it is unknown on which side"):
            found.require_geometry()


def test_run_that_did_not_end_may_go_on_for_ever():
    documents = run(1, times=())[:-1]
    assert best_known(documents, history=history(2, [judge(1, 1, 2, BEGIN + 9e6)]))[0].geometry is None


def test_times_of_unrelated_corrections_do_not_matter():
    corrections = [judge(1, 3, 2, BEGIN + 20), judge(2, 1, 2), judge(3, 1, 2, BEGIN + 30)]
    assert best_known(run(1, times=(), end=61.0), history=history(3, corrections))[0].revision == 2


# --- any judgements, against rules of their own


def oracle(corrections, number, time):
    """Return the right revision by the latest rule that covers number and time; None where there is none."""
    for wrong, by, since, until in reversed(corrections):
        if wrong == number and (since is None or since <= time) and (until is None or time < until):
            return None if by is None else oracle(corrections, by, time)
    return number


edge = st.none() | st.integers(0, 30)


@st.composite
def rules(draw):
    """Rules that always lead to a later revision, so that there is no cycle."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        wrong = draw(st.integers(1, 5))
        by = draw(st.none() | st.integers(wrong + 1, 6))
        since, until = draw(edge), draw(edge)
        if since is None or until is None or since < until:
            found.append((wrong, by, since, until))
    return found


@given(rules(), st.integers(1, 5), st.lists(st.integers(1, 29), min_size=1, max_size=8, unique=True))
def test_each_event_gets_the_revision_that_the_rules_name_for_its_time(given_rules, number, at):
    times = [float(time) for time in sorted(at)]
    corrections = [
        judge(count, wrong, by, *(None if each is None else BEGIN + each for each in (since, until)))
        for count, (wrong, by, since, until) in enumerate(given_rules, 1)
    ]
    found = best_known(run(number, times), history=history(6, corrections))
    expected = {count: oracle(given_rules, number, time) for count, time in enumerate(times, 1)}
    assert right(found) == expected
    assert [each.geometry for each in found] == [each.revision and revision(each.revision).geometry for each in found]
    assert [event for each in found for event in each.events] == list(recorded(run(number, times))[0].events)
    assert all(one.chain != other.chain for one, other in pairwise(found))


def test_result_of_a_lookup_is_a_value():
    (one,) = best_known(run(2), history=history(3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.revision = 5
