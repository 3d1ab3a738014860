"""The messages about requests, word for word."""

from dataclasses import replace

from ponikeeper.detector import messages
from ponikeeper.detector.undo_rules import UndoStep
from ponikeeper.errors import StoreError
from ponikeeper.history import Activation, Correction, LabelRecord, Revision, ServiceChange
from ponikeeper.protocol import Commit, LinkState, Result
from ponikeeper.store import Draft
from stores import GEOMETRY, time_of

Z = LinkState("z", "Z.RBV", "motor", "mm", 0.05, 1000.05, None, False, True)
MONO = LinkState("mono", "Mono", "energy", "keV", 1e-3, None, None, None, False)
NOW = Commit({}, {}, position="now")


def test_commit_names_label_and_author_and_why_the_position_is_unknown():
    draft = Draft(GEOMETRY, {"author": "alice"}, "near", {"z": {"value": 1000.05, "units": "mm"}})
    assert messages.committed(4, NOW, draft, [Z]) == "revision 4 (near) committed by alice"
    unknown = replace(draft, label=None, position=None)
    assert messages.committed(4, Commit({}, {}), unknown, [Z]) == "revision 4 committed by alice"
    assert messages.committed(4, NOW, unknown, [Z, MONO]) == (
        "revision 4 committed by alice, position unknown: mono (Mono) is not connected"
    )
    away = replace(MONO, out_of_service="since yesterday")
    assert messages.committed(4, NOW, unknown, [away]).endswith(", position unknown: no link is in service")


def test_activation_names_who_or_what_caused_it():
    assert messages.activated(2, "bob") == "revision 2 activated by bob"
    assert messages.followed(2, [Z, MONO]) == "revision 2 activated, the links are at z 1000.05 mm"
    assert messages.active_already(2) == "revision 2 is active already"
    assert messages.unchanged(2) == "revision 2 has the same content: nothing changed"


def test_undo_names_what_was_undone_and_what_is_active_again():
    wrong, before = (Revision(n, "uid", time_of(n), None, GEOMETRY, None, {}, "sha256:1") for n in (5, 3))
    step = UndoStep(Activation(9, 5, time_of(9), "commit", "alice"), wrong, before)
    assert messages.undone(step, "bob") == ("activation 9, revision 5, was undone by bob: revision 3 is active again")


def test_records_are_described_with_their_author():
    label = LabelRecord(1, 2, "near", 5, time_of(6), "bob")
    assert messages.labelled(label) == "revision 2 was labelled near by bob"
    assert messages.labelled(replace(label, label=None)) == "revision 2 was left without a label by bob"
    correction = Correction(1, "supersede", 1, 2, None, None, "typed wrong", time_of(1), "bob")
    assert messages.corrected(correction) == "revision 1 was superseded by revision 2: typed wrong (corrected by bob)"
    change = ServiceChange(1, "out_of_service", "z", "repair", time_of(1), "bob")
    assert messages.service_changed(change) == "link z taken out of service by bob: repair"
    back = replace(change, kind="in_service", reason="")
    assert messages.service_changed(back) == "link z returned to service by bob"
    assert messages.follow_switched(False, "bob") == "follow switched off by bob"


def test_failures_say_what_holds():
    error = StoreError("the disk is full")
    assert messages.unstored(error) == "not stored, the active geometry is unchanged: the disk is full"
    assert messages.settled(error) == "stored, although the disk failed afterwards: the disk is full"
    assert messages.undetermined("the disk does not answer").endswith("whether the request is stored is not known yet")
    result = Result(None, "undo", "refused", None, None, ("one", "two"), time_of(1))
    assert messages.refused(result) == "refused: one; two"
