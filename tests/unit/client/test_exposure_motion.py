"""What is recorded of an exposure during which a link moved, whatever the status is afterwards."""

import dataclasses

import pytest

from ponikeeper.protocol import LinkState, Snapshot
from ponikeeper_client._exposure_motion import ExposureMotion
from ponikeeper_client.recall import best_known, recorded
from recalling import configured, history, placed, snapshot, taken

MOVED = {"z": "z (B:z) moved during the exposure, from 200 to 500 mm (tolerance 0.1)"}
Z = LinkState("z", "B:z", "motor", "mm", 0.1, 200.0, 200.0, False, True, True)
Y = dataclasses.replace(Z, name="y", pv="B:y")


def after(status, reason="", findings=(), links=(Z, Y)):
    """Return what is recorded where a snapshot has this status after the exposure."""
    motion = ExposureMotion()
    motion.set(MOVED)
    shown = dataclasses.replace(
        snapshot(placed(1, 200.0), status=status), reason=reason, findings=findings, link_states=links
    )
    return motion.applied_to(shown)


@pytest.mark.parametrize(
    ("status", "recorded_as"),
    [
        ("VALID", "MOVING"),
        ("UNWATCHED", "MOVING"),
        ("MOVED", "MOVING"),
        ("MISMATCH", "MOVING"),
        ("UNKNOWN", "UNKNOWN"),
        ("SUPERSEDED", "SUPERSEDED"),
        ("SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
def test_status_is_moving_unless_another_one_is_worse(status, recorded_as):
    assert after(status).status == recorded_as


def test_reason_findings_and_links_say_which_link_moved():
    found = after("MOVED", "y (B:y) is at 7 mm", (("MOVED", "y"),))
    assert found.reason == f"{MOVED['z']}; y (B:y) is at 7 mm"
    assert found.findings == (("MOVING", "z"), ("MOVED", "y"))
    assert [link.moving for link in found.link_states] == [True, False]
    assert after("VALID", links=None).link_states is None


def test_nothing_changes_without_motion_or_without_a_geometry():
    motion = ExposureMotion()
    shown = snapshot(placed(1, 200.0))
    assert motion.applied_to(shown) is shown
    motion.set(MOVED)
    empty = Snapshot("P:", "UNSET", "no geometry was ever committed")
    assert motion.applied_to(empty) is empty
    motion.clear()
    assert motion.applied_to(shown) is shown


def test_recall_refuses_every_revision_for_that_exposure():
    run = taken([("primary", configured(after("VALID", links=(Z,))), [1.0])])
    assert [each.status for each in recorded(run)] == ["MOVING"]
    known = dataclasses.replace(history(2), revisions=(placed(1, 200.0), placed(2, 200.0)))
    for number in (1, 2):
        assert [each.status for each in best_known(run, revision=number, history=known)] == ["MOVING"]
