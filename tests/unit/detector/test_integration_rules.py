"""Integration settings are kept until others are committed, or another detector comes."""

import pytest

from deciding import FIT, active, decide, edit
from ponikeeper.detector.repetition_rules import is_repetition
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit
from strategies import VALUES

SETTINGS = {"npt": 3000, "unit": "q_nm^-1", "method": ["bbox", "csr", "cython"]}
OTHER = {"npt": 500, "unit": "2th_deg"}
WITH = active(provenance={**FIT, "integration": SETTINGS})


def settings_after(commit, revision=WITH):
    return decide(revision, commit).provenance.get("integration")


@pytest.mark.parametrize(
    "commit",
    [
        edit(dist=0.3),
        Commit({**VALUES, "dist": 0.3}, FIT),
        Commit({**VALUES, "dist": 0.3}, FIT, inherit=False),
        Commit(VALUES, values_only=True),
        Commit({}, FIT),
    ],
)
def test_a_commit_keeps_the_settings(commit):
    assert settings_after(commit) == SETTINGS


def test_another_detector_does_not_keep_them():
    commit = Commit({**VALUES, "detector": "Pilatus1M", "pixel1": 172e-6, "pixel2": 172e-6}, FIT)
    assert settings_after(commit) is None


def test_a_commit_changes_or_removes_them():
    assert settings_after(Commit({}, {**FIT, "integration": OTHER})) == OTHER
    assert settings_after(Commit(VALUES, {"integration": OTHER}), None) == OTHER
    assert settings_after(Commit({}, {**FIT, "integration": None})) is None
    assert "integration" not in decide(WITH, Commit({}, {**FIT, "integration": None})).provenance


@pytest.mark.parametrize(("given", "repeated"), [(SETTINGS, True), (OTHER, False), (None, False)])
def test_an_edit_of_the_settings_alone_is_stored_unless_they_are_the_same(given, repeated):
    commit = Commit({}, {"method": "manual", "integration": given}, edit=True)
    assert is_repetition(WITH, (), decide(WITH, commit), commit) is repeated


def test_the_settings_of_a_stored_revision_are_not_shared():
    draft = decide(WITH, edit(dist=0.3))
    draft.provenance["integration"]["npt"] = 1
    assert WITH.provenance["integration"]["npt"] == 3000
    assert Geometry.parse(VALUES) == WITH.geometry
