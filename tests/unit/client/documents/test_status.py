"""Whether a recalled geometry applies: by the recorded links, the corrections, and the states of the events."""

import dataclasses
import logging

import pytest

from ponikeeper.errors import NoGeometryError, NotValidError
from ponikeeper.history import Revision
from ponikeeper.history.record_form import checksum
from ponikeeper.protocol import LinkState, Snapshot, Status, applies, measures_beam
from ponikeeper.protocol.findings import findings_about, reason_of, status_of
from ponikeeper.protocol.link_values import compared
from ponikeeper_client.recall import best_known, poni, recorded, write_poni
from ponikeeper_client.recall._pyfai import select_geometry
from recalling import BEGIN, PREFIX, configured, history, judge, placed, revision, snapshot, taken

NEAR, FAR = 200.0, 1000.0
UNGUARDED = {"calibration_guard": []}


@pytest.fixture(autouse=True)
def warnings_again():
    """Forget which warnings were logged by other tests."""
    from ponikeeper_client.documents import warn_once

    warn_once.cache_clear()


def link(value: float | None, **keys: object) -> LinkState:
    """A motor at rest at a position."""
    state = LinkState("z", "X:m1.RBV", "motor", "mm", 0.1, value, None, False, True, None)
    return dataclasses.replace(state, **keys)


def active(found: Revision, *links: LinkState, corrections=()) -> Snapshot:
    """The snapshot that an IOC would publish of a revision and its links."""
    states = tuple(compared(one, found.position, found.geometry.wavelength) for one in links)
    findings = findings_about(found, corrections, states)
    kinds = tuple((one.status.name, one.link) for one in findings)
    whole = dataclasses.replace(snapshot(found, status=status_of(findings).name), reason=reason_of(findings))
    return dataclasses.replace(whole, findings=kinds, link_states=states, position=found.position)


def run(found: Snapshot, times=(1.0, 2.0), **more):
    return taken([("primary", configured(found), times)], **more)


def of(*revisions: Revision, corrections=()):
    """The exported history of some revisions."""
    return dataclasses.replace(history(len(revisions), corrections), revisions=revisions)


def old(found: Snapshot):
    """The configuration that a client before 0.2 recorded."""
    made = configured(found)
    new = ("reason", "findings", "link_states", "covariance", "valid_within", "model", "files")
    for part in made["pe1"].values():
        for key in new:
            del part[f"pe1_calib_{key}"]
    return made


def use(source, any_status=False, **options):
    """Return the distance of the geometry for which `azimuthal_integrator` builds an integrator."""
    return select_geometry(source, **options).require_geometry(any_status=any_status).dist


@pytest.mark.parametrize("status", [*Status, "SOMETHING_NEW"])
def test_status_decides_whether_the_geometry_is_returned(status, tmp_path):
    name = getattr(status, "name", status)
    if name == "UNSET":
        return
    one = placed(1, NEAR)
    links = {"MOVED": link(FAR), "MOVING": link(NEAR, moving=True), "UNKNOWN": link(None)}.get(name, link(NEAR))
    found = active(one, *([] if name == "UNWATCHED" else [links]))
    (result,) = recorded(run(dataclasses.replace(found, status=name, reason=found.reason or "why")))
    assert result.status == name
    path = tmp_path / "a.poni"
    if applies(name):
        assert use(result) == one.geometry.dist
        write_poni(result, path)
    else:
        for call in (use, poni, lambda each: write_poni(each, path), lambda each: each.require_geometry()):
            with pytest.raises(NotValidError, match=r"any_status=True returns it all the same") as refused:
                call(result)
            assert (refused.value.status, bool(refused.value.reason)) == (name, True)
        assert not path.exists()
        assert use(result, any_status=True) == one.geometry.dist
    assert f"# status: {name}" in poni(result, any_status=True)


def test_moved_run_passes_with_a_revision_that_was_calibrated_there():
    one, two, three = placed(1, NEAR), placed(2, FAR + 0.05), placed(3, FAR + 0.2)
    documents, known = run(active(one, link(FAR))), of(one, two, three)
    with pytest.raises(NotValidError, match=r"MOVED: z \(X:m1.RBV\) is at 1000 mm, calibrated at 200 mm.*revision=N"):
        use(documents)
    with pytest.raises(NotValidError, match="MOVED"):
        use(documents, best=True, history=known)
    assert use(documents, revision=2, history=known) == two.geometry.dist
    with pytest.raises(NotValidError, match=r"revision 3 does not apply.* calibrated at 1000\.2 mm"):
        use(documents, revision=3, history=known)
    text = poni(best_known(documents, revision=2, history=known)[0])
    assert "# link z (X:m1.RBV): 1000 mm, calibrated at 1000.05 mm" in text


def test_revision_that_was_corrected_or_does_not_exist_is_not_returned():
    one, two = placed(1, NEAR), placed(2, FAR)
    documents = run(active(one, link(FAR)))
    with pytest.raises(NotValidError, match="RETRACTED: revision 2 was retracted: reason 1"):
        use(documents, revision=2, history=of(one, two, corrections=[judge(1, 2)]))
    with pytest.raises(NoGeometryError, match="has no revision 7"):
        use(documents, revision=7, history=of(one, two))
    later = of(one, two, corrections=[judge(1, 2, since=BEGIN + 1.5)])
    assert [each.status for each in best_known(documents, revision=2, history=later)] == ["VALID", "RETRACTED"]


@pytest.mark.parametrize(("z", "status"), [(NEAR + 0.05, "VALID"), (FAR, "MOVED"), (None, "UNKNOWN")])
def test_superseded_run_passes_where_the_better_revision_holds_at_the_recorded_position(z, status):
    one, two = placed(1, NEAR), placed(2, z)
    correction = judge(1, 1, 2)
    documents, known = run(active(one, link(NEAR), corrections=[correction])), of(one, two, corrections=[correction])
    with pytest.raises(NotValidError, match=r"SUPERSEDED: .*best=True") as refused:
        use(documents)
    assert "superseded by revision 2" in refused.value.reason
    (found,) = best_known(documents, history=known)
    assert (found.revision, found.status) == (2, status)
    if status == "VALID":
        assert use(documents, best=True, history=known) == two.geometry.dist
    else:
        with pytest.raises(NotValidError, match=status):
            use(documents, best=True, history=known)


def test_run_that_a_later_correction_leads_elsewhere_is_not_valid_there():
    """The run recorded VALID, so only the computed status shows that the better revision is for another position."""
    one, two = placed(1, NEAR), placed(2, FAR)
    known = of(one, two, corrections=[judge(1, 1, 2)])
    (found,) = best_known(run(active(one, link(NEAR))), history=known)
    assert (found.recorded.status, found.status) == ("VALID", "MOVED")
    assert "revision 2 MOVED (recorded: revision 1 VALID" in found.summary


def at(number: int, **values: float) -> Revision:
    """A revision that was calibrated with several links at some values (mm)."""
    position = {name: {"value": value, "units": "mm"} for name, value in values.items()}
    bare = dataclasses.replace(placed(number, NEAR), position=position)
    return dataclasses.replace(bare, checksum=checksum(PREFIX, "revision", bare.row()))


def test_revision_for_a_link_that_the_run_did_not_record_is_not_known_to_apply():
    one, two = placed(1, NEAR), at(2, z=NEAR, y=50.0)
    known = of(one, two, corrections=[judge(1, 1, 2)])
    for options in ({"best": True}, {"revision": 2}):
        with pytest.raises(NotValidError, match="UNKNOWN: the run did not record y, for which revision 2 was calibr"):
            use(run(active(one, link(NEAR))), history=known, **options)
    both = active(at(1, z=NEAR, y=50.0), link(NEAR), link(50.0, name="y"))
    known = of(at(1, z=NEAR, y=50.0), two, corrections=[judge(1, 1, 2)])
    assert use(run(both), best=True, history=known) == two.geometry.dist
    (found,) = best_known(run(active(placed(1, NEAR))), history=of(placed(1, NEAR), two, corrections=[judge(1, 1, 2)]))
    assert found.status == "UNWATCHED"  # nothing was checked, and the status says that


@pytest.mark.parametrize("by", [2, None], ids=["SUPERSEDED", "RETRACTED"])
def test_correction_that_the_run_recorded_counts_where_the_history_does_not_have_it(by):
    """An older export, or the clock of the run was behind that of the IOC."""
    one, two = placed(1, NEAR), placed(2, NEAR)
    late = judge(1, 1, by, since=BEGIN + 100)
    documents = run(active(one, link(NEAR), corrections=[late]))
    for corrections in ((), (late,)):
        with pytest.raises(NotValidError, match=r"as the run recorded; the history has no such correction") as refused:
            use(documents, best=True, history=of(one, two, corrections=corrections))
        assert refused.value.status == ("RETRACTED" if by is None else "SUPERSEDED")


def test_moving_run_passes_with_no_revision():
    one, two = placed(1, NEAR), placed(2, FAR)
    documents = run(active(one, link(FAR, moving=True)))
    for options in ({}, {"best": True, "history": of(one, two)}, {"revision": 2, "history": of(one, two)}):
        with pytest.raises(NotValidError, match="MOVING"):
            use(documents, **options)


def test_wavelength_of_the_returned_revision_is_compared_with_the_recorded_energy():
    right = placed(1, NEAR)
    wrong, mended = placed(1, NEAR, wavelength=right.geometry.wavelength * 1.1), placed(2, NEAR)
    energy = link(right.geometry.energy, name="e", pv="X:e", kind="energy", units="keV", tolerance=1e-3, mismatch=0.02)
    assert measures_beam(energy)
    documents = run(active(wrong, link(NEAR), energy))
    with pytest.raises(NotValidError, match=r"e \(X:e\) is at"):
        use(documents)
    position = {"z": {"value": NEAR, "units": "mm"}, "e": {"value": right.geometry.energy, "units": "keV"}}
    mended = dataclasses.replace(mended, position=position)
    mended = dataclasses.replace(mended, checksum=checksum(PREFIX, "revision", mended.row()))
    assert use(documents, revision=2, history=of(wrong, mended)) == mended.geometry.dist


def test_recorded_word_is_not_believed_where_the_recorded_links_contradict_it():
    found = active(placed(1, NEAR), link(FAR))
    with pytest.raises(NotValidError, match="MOVED: z"):
        use(run(dataclasses.replace(found, status="VALID", reason="")))


@pytest.mark.parametrize("hashed", [True, False])
def test_files_that_the_run_recorded_with_their_hash_are_no_reason_against_it(hashed):
    file = {"path": "/d/a.spline", "sha256": "a" * 64}
    here = placed(1, NEAR)
    geometry = dataclasses.replace(here.geometry, detector_config={"splineFile": file["path"]})
    files = {"files": {"splineFile": file}} if hashed else {}
    found = active(dataclasses.replace(here, geometry=geometry, provenance=files), link(FAR))
    with pytest.raises(NotValidError, match="MOVED: z") as caught:
        use(run(dataclasses.replace(found, status="VALID", reason="", provenance=files)))
    assert ("without its SHA-256" in str(caught.value)) is not hashed


@pytest.mark.parametrize("status", ["VALID", "MOVED", "MOVING", "MISMATCH", "UNKNOWN", "CONDEMNED"])
def test_recorded_word_decides_for_runs_before_links_were_recorded(status):
    one, two, three = placed(1, NEAR), placed(2, NEAR), placed(3, FAR)
    documents = taken([("primary", old(dataclasses.replace(active(one, link(NEAR)), status=status)), [1.0])])
    plain, mended = of(one, two, three), of(one, two, three, corrections=[judge(1, 1, 2)])
    retracted = of(one, two, three, corrections=[judge(1, 1)])
    if status == "VALID":
        assert use(documents) == use(documents, best=True, history=plain) == one.geometry.dist
        assert use(documents, best=True, history=mended) == two.geometry.dist
    else:
        for options in ({}, {"best": True, "history": plain}, {"best": True, "history": mended}):
            with pytest.raises(NotValidError) as refused:
                use(documents, **options)
            assert not applies(refused.value.status)
    with pytest.raises(NotValidError, match=r"UNKNOWN: the run recorded .* not where the links were"):
        use(documents, revision=3, history=plain)
    with pytest.raises(NotValidError, match="SUPERSEDED: revision 1 was superseded by revision 2"):
        use(documents, revision=1, history=mended)
    with pytest.raises(NoGeometryError, match="revision 1 was retracted"):
        use(documents, best=True, history=retracted)
    assert "# link positions: not recorded" in poni(recorded(documents)[0], any_status=True)


def with_states(documents, states):
    """Add to each event the serial and the status that a device with ``per_event`` reads."""
    added = iter(states)
    for kind, document in documents:
        if kind == "event":
            serial, status = next(added)
            data = {"pe1_calib_serial": serial, "pe1_calib_status": status}
            yield kind, {**document, "data": {**document["data"], **data}}
        else:
            yield kind, document


def test_each_event_has_the_status_that_was_read_with_it():
    one, two = placed(1, NEAR), placed(2, FAR)
    states = [(1, "VALID"), (1, "VALID"), (1, "MOVED"), (2, "VALID"), (1, "VALID")]
    documents = list(with_states(run(active(one, link(NEAR)), (1.0, 2.0, 3.0, 4.0, 5.0), start=UNGUARDED), states))
    found = recorded(documents)
    parts = [("VALID", (1, 2)), ("MOVED", (3,)), ("UNKNOWN", (4,)), ("VALID", (5,))]
    assert [(each.status, each.seq_nums) for each in found] == parts
    assert not any(each.notes for each in found)
    assert use(documents, event=2) == one.geometry.dist
    known = of(one, two, corrections=[judge(1, 1, 2)])
    for event, status in ((3, "MOVED"), (4, "UNKNOWN: serial 2 was active when the event was read")):
        with pytest.raises(NotValidError, match=status):
            use(documents, event=event)
        for options in ({"best": True}, {"revision": 2}):
            with pytest.raises(NotValidError, match="UNKNOWN"):
                use(documents, event=event, history=known, **options)
    with pytest.raises(NotValidError, match="primary 3: revision 1 does not apply"):
        use(documents)


def test_event_that_came_back_is_compared_where_the_recorded_revision_was_calibrated():
    one, two, three = placed(1, NEAR), placed(2, NEAR), placed(3, FAR)
    documents = list(with_states(run(active(one, link(FAR)), (1.0, 2.0)), [(1, "MOVED"), (1, "VALID")]))
    known = of(one, two, three)
    statuses = {
        number: [each.status for each in best_known(documents, revision=number, history=known)] for number in (1, 2, 3)
    }
    assert statuses == {1: ["MOVED", "VALID"], 2: ["MOVED", "VALID"], 3: ["VALID", "MOVED"]}


def test_event_whose_links_were_taken_out_of_service_does_not_say_where_they_were():
    one, two = placed(1, NEAR), placed(2, NEAR)
    documents = list(with_states(run(active(one, link(NEAR)), (1.0, 2.0)), [(1, "VALID"), (1, "UNWATCHED")]))
    assert [each.status for each in recorded(documents)] == ["VALID", "UNWATCHED"]
    assert recorded(documents)[1].applicability.links is None
    known = of(one, two)
    assert [each.status for each in best_known(documents, history=known)] == ["VALID", "UNWATCHED"]
    assert [each.status for each in best_known(documents, revision=2, history=known)] == ["VALID", "UNKNOWN"]


@pytest.mark.parametrize("z", [FAR, None])
def test_run_before_links_were_recorded_does_not_make_a_revision_of_another_position_valid(z):
    one, two = placed(1, NEAR), placed(2, z)
    documents = taken([("primary", old(active(one, link(NEAR))), [1.0])])
    with pytest.raises(NotValidError, match="UNKNOWN: the run recorded VALID, but not where the links were"):
        use(documents, best=True, history=of(one, two, corrections=[judge(1, 1, 2)]))


AT_START = "status known at the start of the stream only"


@pytest.mark.parametrize(
    ("start", "end", "noted"),
    [
        ({}, {}, False),
        ({"calibration_guard": [{"on_change": "fail", "calibs": ["pe2_calib"]}]}, {}, True),
        ({"calibration_guard": [{"on_change": "fail", "calibs": ["pe1_calib"]}]}, {}, False),
        ({"calibration_guard": [{"on_change": "warn"}]}, {}, True),
        ({"calibration_guard": "yes"}, {}, True),
        (UNGUARDED, {}, True),
        ({}, {"exit_status": "abort"}, True),
        ({}, None, True),
    ],
)
def test_run_without_a_guard_says_that_the_status_is_known_at_its_start_only(start, end, noted, caplog):
    documents = run(active(placed(1, NEAR), link(NEAR)), start=start)
    kind, stop = documents.pop()
    if end is not None:
        documents.append((kind, {**stop, **end}))
    (found,) = recorded(documents)
    assert (AT_START in found.notes) == noted
    assert (AT_START in poni(found)) == noted
    assert (AT_START in repr(recorded(documents))) == noted
    for _ in range(3):
        use(documents)
    warned = [record.message for record in caplog.records if AT_START in record.message]
    assert len(warned) == noted
    assert all("calibration_guard, or CalibrationData(per_event=True)" in message for message in warned)


def test_guarded_run_that_was_not_valid_says_that_links_are_known_at_its_start_only(caplog):
    one, two = placed(1, NEAR), placed(2, FAR)
    documents = run(active(one, link(FAR)))
    use(documents, revision=2, history=of(one, two))
    (message,) = [record.message for record in caplog.records]
    assert "link positions known at the start of the stream only" in message


def test_run_without_a_status_is_returned_with_one_warning(caplog):
    values = {**revision(1).geometry.as_dict()}
    values["detector_config"] = "{}"
    documents = taken([("primary", configured(values), [1.0])])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert use(documents) == revision(1).geometry.dist
    (found,) = recorded(documents)
    assert found.status == "not recorded"
    assert "# status: not recorded" in poni(found)
    (message,) = [record.message for record in caplog.records]
    assert "the run recorded no status" in message
    with pytest.raises(NoGeometryError, match="recorded no revision"):
        use(documents, revision=1, history=of(placed(1, NEAR)))


def test_uncertain_geometry_is_returned_with_a_warning(caplog):
    found = dataclasses.replace(active(placed(1, NEAR), link(NEAR)), status="UNCERTAIN", reason="0.4 px")
    assert use(run(found)) == placed(1, NEAR).geometry.dist
    assert "the status is UNCERTAIN: 0.4 px" in caplog.text


def test_arguments_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="best=True and revision=2 are both given"):
        use(run(active(placed(1, NEAR), link(NEAR))), best=True, revision=2)
