"""A commit of other settings or another mask keeps everything else of the active revision."""

from dataclasses import replace

import pytest

from deciding import FIT, POSITION, UNITS, decide
from ponikeeper.detector.repetition_rules import is_repetition
from ponikeeper.errors import RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Revision
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.reduction import KEPT, with_reduction
from strategies import VALUES

SETTINGS = {"npt": 3000, "unit": "q_nm^-1"}
MASK = {"mask": {"path": "/d/mask.edf", "sha256": "b" * 64}}
OTHER = {"mask": {"path": "/d/other.edf", "sha256": "c" * 64}}
ACTIVE = Revision(7, "uid", "", "near", Geometry.parse(VALUES), POSITION, {**FIT, "files": MASK}, "sha256:")


def shown(revision=ACTIVE):
    return Snapshot(
        "X:", "VALID", "", 3, revision.number, "uid", "sha256:", revision.label, "", revision.geometry,
        revision.position, revision.provenance,
    )  # fmt: skip


def drafted(commit, revision=ACTIVE):
    return decide(revision, commit, units=UNITS)


def test_new_settings_keep_geometry_label_position_mask_and_uncertainty():
    draft = drafted(with_reduction(shown(), SETTINGS))
    assert (draft.geometry, draft.label, draft.position) == (ACTIVE.geometry, "near", POSITION)
    assert draft.provenance == {
        **FIT, "author": "bob@host", "derived_from": 7, "files": MASK, "integration": SETTINGS,
    }  # fmt: skip


@pytest.mark.parametrize(("files", "left"), [(None, MASK), (OTHER, OTHER), ({}, None)])
def test_the_mask_is_kept_replaced_or_removed(files, left):
    assert drafted(with_reduction(shown(), SETTINGS, files)).provenance.get("files") == left


def test_a_mask_keeps_the_settings():
    revision = replace(ACTIVE, provenance={**FIT, "integration": SETTINGS})
    draft = drafted(with_reduction(shown(revision), KEPT, MASK), revision)
    assert (draft.provenance["integration"], draft.provenance["files"]) == (SETTINGS, MASK)


def test_settings_are_removed():
    revision = replace(ACTIVE, provenance={**FIT, "integration": SETTINGS})
    assert "integration" not in drafted(with_reduction(shown(revision), None), revision).provenance


@pytest.mark.parametrize("files", [None, MASK])
def test_the_same_again_changes_nothing(files):
    provenance = {**FIT, "author": "bob@host", "integration": SETTINGS, "files": MASK}
    revision = replace(ACTIVE, provenance=provenance)
    commit = with_reduction(shown(revision), SETTINGS, files)
    assert is_repetition(revision, (), drafted(commit, revision), commit)


def test_another_revision_meanwhile_refuses_it():
    commit = with_reduction(shown(), SETTINGS)
    with pytest.raises(RefusedError, match="expect_revision 7 is outdated"):
        drafted(commit, replace(ACTIVE, number=8))


def test_an_unknown_position_stays_unknown():
    revision = replace(ACTIVE, position=None)
    assert drafted(with_reduction(shown(revision), SETTINGS), revision).position is None


def test_without_a_revision_it_says_where_to_begin():
    with pytest.raises(RefusedError, match="no revision of X: is active yet: set all values at once"):
        with_reduction(Snapshot("X:", "UNSET", "none"), SETTINGS)


def test_a_model_is_committed_again_instead():
    revision = replace(ACTIVE, provenance={"model": {}})
    with pytest.raises(RefusedError, match=r"revision 7 is a model, .* commit the model again"):
        with_reduction(shown(revision), SETTINGS)
