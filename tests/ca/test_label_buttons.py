"""The buttons for labels, and since when a geometry has been active, on a live IOC."""

from live import wait_for
from ponikeeper.protocol.pvs import label_button
from speak import GEOMETRY, commit_text, get, put, request, snapshot


def test_buttons_show_the_labels_that_exist_and_activate_them(fresh_prefix):
    prefix = fresh_prefix()
    assert [get(prefix + label_button(number)) for number in (1, 6)] == ["", ""]
    assert get(f"{prefix}Labels:Table_RBV") == "no revision has a label"
    assert put(f"{prefix}Labels:Activate", 1) is not None
    assert "has no label" in get(f"{prefix}Message_RBV")
    for number, label in enumerate(["near", "far", "near", None], 1):
        more = {"label": label} if label else {}
        request(prefix, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": 0.2 + number / 10}, **more))
    wait_for(lambda: len(get(f"{prefix}Labels:Table_RBV").splitlines()) == 3)
    wait_for(lambda: get(f"{prefix}Labels:Table_RBV").splitlines()[1].split()[:3] == ["near", "3", "500.0000"])
    labels = [get(prefix + label_button(number)) for number in (1, 2, 3)]
    assert sorted(labels[:2]) == ["far", "near"]
    assert labels[2] == ""
    for label, revision in (("far", 2), ("near", 3)):
        assert put(f"{prefix}Labels:Activate", labels.index(label) + 1) is None
        assert snapshot(prefix)["revision"] == revision
        assert get(f"{prefix}Labels:Activate") == 0
    refused = get(f"{prefix}Rejected_RBV")
    assert put(f"{prefix}Labels:Activate", 3) is not None
    assert get(f"{prefix}Rejected_RBV") == refused + 1
    assert snapshot(prefix)["revision"] == 3


def test_label_whose_revisions_were_all_retracted_loses_its_button(fresh_prefix):
    prefix = fresh_prefix()
    for number, label in enumerate(["good", "bad"], 1):
        request(prefix, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": 0.2 + number / 10}, label=label))
    wait_for(lambda: len(get(f"{prefix}Labels:Table_RBV").splitlines()) == 3)
    retract = '{"v": 1, "request": "r3", "op": "retract", "revision": 2, "reason": "wrong calibrant"}'
    assert request(prefix, retract)["outcome"] == "accepted"
    wait_for(lambda: len(get(f"{prefix}Labels:Table_RBV").splitlines()) == 2)
    assert {get(prefix + label_button(number)) for number in range(1, 7)} == {"good", ""}


def test_time_since_a_geometry_has_been_active_is_local_with_its_age(fresh_prefix):
    prefix = fresh_prefix()
    assert get(f"{prefix}Since_RBV") == ""
    request(prefix, commit_text("r1"))
    wait_for(lambda: get(f"{prefix}Since_RBV").endswith(" (just now)"))
