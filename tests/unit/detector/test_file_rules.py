"""Which files a commit has: its own, those that it keeps of the active revision, and none without a SHA-256."""

import pytest

from ponikeeper.detector.commit_rules import decide_commit
from ponikeeper.detector.record_position_rules import decide_record_position
from ponikeeper.detector.repetition_rules import is_repetition
from ponikeeper.errors import RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Revision
from ponikeeper.protocol import Commit, LinkState, parse_request, request_text
from strategies import VALUES

SPLINE = {"path": "/d/taper.spline", "sha256": "a" * 64}
MASK = {"path": "/d/mask.edf", "sha256": "b" * 64}
OTHER = {"path": "/d/other.spline", "sha256": "c" * 64}
CONFIG = {"splineFile": SPLINE["path"]}
DISTORTED = {**VALUES, "detector": "FReLoN", "detector_config": CONFIG}
FILES = {"splineFile": SPLINE, "mask": MASK}
MANUAL = {"method": "manual"}


def active(geometry=DISTORTED, files=FILES):
    provenance = {"author": "alice", "files": files}
    return Revision(7, "uid", "2026-11-22T09:30:01.250000Z", None, Geometry.parse(geometry), {}, provenance, "sha256:")


def files_after(commit, revision=None):
    revision = active() if revision is None else revision
    return decide_commit(revision, commit, "bob@host", {}, {}).provenance.get("files")


def refusal(commit, revision=None):
    with pytest.raises(RefusedError) as caught:
        decide_commit(revision, commit, "bob@host", {}, {})
    return str(caught.value)


def test_first_commit_stores_its_files():
    draft = decide_commit(None, Commit(DISTORTED, files=FILES), "bob@host", {}, {})
    assert draft.provenance["files"] == FILES
    assert not is_repetition(active(), (), draft, Commit(DISTORTED, files=FILES))  # the author differs


@pytest.mark.parametrize("inherit", [True, False])
def test_first_commit_without_the_hash_is_refused(inherit):
    assert "detector_config.splineFile names the file" in refusal(Commit(DISTORTED, inherit=inherit))


def test_edit_of_a_value_keeps_the_files():
    assert files_after(Commit({"dist": 0.3}, MANUAL, edit=True)) == FILES


def test_request_of_some_values_keeps_the_files():
    assert files_after(Commit({"dist": 0.3})) == FILES


def test_edit_of_the_configuration_keeps_the_file_that_it_still_names():
    edit = Commit({"detector_config": {**CONFIG, "orientation": 2}}, MANUAL, edit=True)
    assert files_after(edit) == FILES


def test_edit_of_the_configuration_to_another_file_is_refused():
    edit = Commit({"detector_config": {"splineFile": OTHER["path"]}}, MANUAL, edit=True)
    assert "names the file /d/other.spline without its SHA-256" in refusal(edit, active())


def test_edit_of_the_configuration_to_no_file_drops_it_and_keeps_the_mask():
    assert files_after(Commit({"detector_config": {}}, MANUAL, edit=True)) == {"mask": MASK}


def test_another_detector_drops_all_files():
    assert files_after(Commit({"detector": "Perkin"}, MANUAL, edit=True)) is None


def test_request_that_gives_the_configuration_needs_the_hash_again():
    assert "without its SHA-256" in refusal(Commit({"detector_config": CONFIG}), active())
    assert files_after(Commit({"detector_config": CONFIG}, files={"detector": SPLINE})) == {
        "mask": MASK,
        "detector": SPLINE,
    }


def test_whole_geometry_does_not_inherit_the_mask():
    assert files_after(Commit(DISTORTED, files={"splineFile": SPLINE})) == {"splineFile": SPLINE}


def test_new_content_of_the_same_file_is_another_revision():
    renewed = {"splineFile": {**SPLINE, "sha256": "d" * 64}, "mask": MASK}
    for commit in (Commit({}, {"author": "alice"}, files=renewed), Commit({}, MANUAL, files=renewed, edit=True)):
        draft = decide_commit(active(), commit, "bob@host", {}, {})
        assert draft.provenance["files"] == renewed
        assert not is_repetition(active(), (), draft, commit)


def test_put_of_what_is_active_keeps_the_files():
    for commit in (
        Commit({"detector_config": CONFIG}, MANUAL, edit=True),
        Commit(DISTORTED, {"method": "poni"}, inherit=False, values_only=True),
    ):
        draft = decide_commit(active(), commit, "bob@host", {}, {})
        assert draft.provenance["files"] == FILES
        assert is_repetition(active(), (), draft, commit)


def test_recorded_position_keeps_the_files():
    links = (LinkState("z", "Z.RBV", "motor", "mm", 0.05, 1000.0, None, False, True),)
    commit = decide_record_position(active(), (), links)
    draft = decide_commit(active(), commit, "bob@host", {}, {"z": "mm"}, links)
    assert draft.provenance["files"] == FILES


def test_provenance_alone_cannot_bring_files():
    assert "without its SHA-256" in refusal(Commit(DISTORTED, {"files": FILES}))


def test_detector_that_is_a_path_is_refused():
    edit = Commit({"detector": "/d/det.h5", "pixel1": 1e-4, "pixel2": 1e-4}, MANUAL, edit=True)
    assert "write the detector NexusDetector" in refusal(edit, active())


def test_files_survive_the_text_of_a_request():
    commit = Commit(DISTORTED, files=FILES, request="1")
    assert parse_request(request_text(commit)).files == FILES
