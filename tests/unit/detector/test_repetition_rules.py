"""Whether a commit would store the active revision again."""

from dataclasses import replace

import pytest

from deciding import FIT, POSITION, UNITS, active, decide, edit, links_now
from ponikeeper.detector.record_position_rules import decide_record_position
from ponikeeper.detector.repetition_rules import is_repetition, require_same
from ponikeeper.errors import RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.history import Correction
from ponikeeper.protocol import Activate, Commit
from ponikeeper.store import Answer
from strategies import VALUES


def is_unchanged(revision, commit, links=(), corrections=(), **options):
    draft = decide(revision, commit, units=UNITS, links=links, **options)
    return is_repetition(revision, corrections, draft, commit, links)


@pytest.mark.parametrize(
    ("z", "energy", "unchanged"),
    [(1000.0, 75.0, True), (1000.05, 75.007, True), (1000.06, 75.0, False), (1000.0, 75.008, False)],
)
def test_commit_is_unchanged_where_the_links_are_within_tolerance(z, energy, unchanged):
    commit = Commit({}, FIT, "near", position="now", force=True)
    assert is_unchanged(active(position=POSITION), commit, links_now(z, energy)) is unchanged


@pytest.mark.parametrize(
    "position", [None, {}, {"z": POSITION["z"]}, {**POSITION, "z": {"value": 1000.0, "units": "m"}}], ids=str
)
def test_commit_at_another_kind_of_position_is_a_change(position):
    commit = Commit({}, FIT, "near", position="now", force=True)
    assert not is_unchanged(active(position=position), commit, links_now())


@pytest.mark.parametrize(("z", "unchanged"), [(1000.0, True), (1000.05, True), (1000.06, False)])
def test_commit_at_the_same_position_in_other_units_is_unchanged(z, unchanged):
    position = {"z": {"value": 1.0, "units": "m"}, "energy": {"value": 75e3, "units": "eV"}}
    commit = Commit({}, FIT, "near", position="now", force=True)
    assert is_unchanged(active(position=position), commit, links_now(z)) is unchanged


@pytest.mark.parametrize("position", ["keep", "now"])
@pytest.mark.parametrize("name", NAMES)
def test_edit_without_a_change_changes_nothing_wherever_the_links_are(name, position):
    commit, wrong = edit(**{name: VALUES[name]}), [Correction(1, "retract", 7, None, None, None, "x", "", "")]
    for revision in (active(), active(position=POSITION), active(position=None), active(label=None)):
        for corrections in ((), wrong):
            assert is_unchanged(revision, commit, links_now(z=500.0), corrections, edit_position=position)
    assert not is_unchanged(active(), edit(dist=0.3))
    assert is_unchanged(active(), replace(edit(), label=active().label))
    assert not is_unchanged(active(), replace(edit(), label="other"))
    assert is_unchanged(active(), Commit(VALUES, {"method": "poni"}, inherit=False, values_only=True))


def test_record_of_the_position_keeps_label_and_provenance_and_is_a_change_elsewhere():
    revision = active(position=POSITION)
    commit = decide_record_position(revision, (), links_now(z=500.0, energy=77.9), force=False)
    draft = decide(revision, commit, units=UNITS, links=links_now(z=500.0))
    assert (draft.label, draft.provenance) == ("near", {**FIT, "author": "bob@host", "derived_from": 7})
    assert draft.position["z"]["value"] == 500.0
    author = {**FIT, "author": "bob@host"}
    assert is_unchanged(active(position=POSITION, provenance=author), commit, links_now(z=1000.0))
    assert not is_unchanged(active(position=POSITION, provenance=author), commit, links_now(z=500.0))


@pytest.mark.parametrize(
    "more", [{"label": "far"}, {"provenance": {**FIT, "comment": "x"}}, {"position": None}, {"geometry": {"dist": 0.3}}]
)
def test_commit_that_differs_in_anything_is_a_change(more):
    same = {"geometry": {}, "provenance": FIT, "label": "near", "position": "now"}
    revision = active(position=POSITION)
    assert is_unchanged(revision, Commit(**same, force=True), links_now())
    other = same | more if more.get("position", 0) is not None else {**same, "position": "unknown"}
    assert not is_unchanged(revision, Commit(**other, force=True), links_now())


def test_change_that_python_calls_equal_is_a_change():
    geometry = Geometry.parse({**VALUES, "detector_config": {"a": 1}})
    assert not is_unchanged(active(geometry), edit(detector_config={"a": True}))
    assert is_unchanged(active(geometry), edit(detector_config={"a": 1}))


def test_id_means_one_request_for_ever():
    answer = Answer("id-1", "a" * 64, "activate", 3, 4, "2026-11-22T09:30:00Z")
    require_same(Activate(3, request="id-1", digest="a" * 64), answer)
    with pytest.raises(RefusedError) as caught:
        require_same(Activate(4, request="id-1", digest="b" * 64), answer)
    assert caught.value.problems == ('the request id "id-1" was used before with other content: use a new id',)
