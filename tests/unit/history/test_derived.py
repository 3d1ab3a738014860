"""What a model gave for a position: its record, and the revision as it was active."""

from dataclasses import replace

import pytest

from ponikeeper.errors import HistoryError
from ponikeeper.history.derived import DerivedGeometry, derived_by_serial, with_derived
from ponikeeper.history.records import with_checksum
from stores import DERIVED, GEOMETRY, PREFIXES
from strategies import VALUES

RECORD = replace(DERIVED, number=2, serial=7, revision=3)


def test_json_form_keeps_every_bit():
    record = replace(RECORD, geometry=replace(GEOMETRY, dist=0.1 + 0.2), certainty={"sigma": {"dist": 1e-7 / 3}})
    assert DerivedGeometry.parse(PREFIXES[0], with_checksum(PREFIXES[0], record)) == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serial": 8}, "derived 2 of .* does not match: the record was changed"),
        ({"geometry": VALUES}, "derived 2 of .* does not match: the record was changed"),
        ({"geometry": {**VALUES, "dist": -1.0}}, "derived 2: dist"),
        ({"position": {"z": 1.0}}, 'derived 2: "position": .* is not allowed: expected an object of objects'),
    ],
)
def test_changed_record_is_refused(change, message):
    with pytest.raises(HistoryError, match=message):
        DerivedGeometry.parse(PREFIXES[0], {**with_checksum(PREFIXES[0], RECORD), **change})


def test_revision_as_it_was_active_has_the_computed_values_and_its_own_identity(revision):
    active = with_derived(revision, RECORD)
    assert (active.geometry, active.position) == (RECORD.geometry, RECORD.position)
    assert active.provenance == {**revision.provenance, "accuracy_deg": 0.001}
    assert (active.number, active.uid, active.checksum) == (revision.number, revision.uid, revision.checksum)
    assert with_derived(revision, None) is revision


def test_records_are_found_by_the_serial_of_their_activation():
    assert derived_by_serial([RECORD, replace(RECORD, serial=9)]) == {7: RECORD, 9: replace(RECORD, serial=9)}


@pytest.fixture
def revision():
    from ponikeeper.history import Revision

    return Revision(3, "uid", "2026-11-22T09:30:00.000000Z", "travel", GEOMETRY, None, {"method": "model"}, "sum")
