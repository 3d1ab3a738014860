"""Which commit records the position of the links, and which requests are refused."""

import pytest

from deciding import POSITION, UNITS, active, decide, links_now
from ponikeeper.detector.record_position_rules import decide_record_position
from ponikeeper.errors import RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Correction
from stores import time_of
from strategies import VALUES


def test_record_of_the_position_is_not_refused_for_an_old_slip():
    old = active(Geometry.parse({**VALUES, "rot1": 1.5}))
    commit = decide_record_position(old, (), links_now())
    assert decide(old, commit, units=UNITS, links=links_now()).position == POSITION


def test_here_needs_a_geometry_and_a_place_that_is_known():
    for revision, links, says in (
        (None, links_now(), "no revision is active yet"),
        (active(), (), "the configuration has no links, so there is no position that RecordPosition could record"),
        (active(), links_now(moving=True), "the position of the links is unknown: z .* is moving"),
        (active(), links_now(out_of_service="x")[:1], "every link is out of service: return one to service"),
    ):
        with pytest.raises(RefusedError, match=says):
            decide_record_position(revision, (), links)
    commit = decide_record_position(active(), (), links_now())
    assert (commit.geometry, commit.position, commit.label) == ({}, "now", "near")


def test_position_of_a_corrected_revision_is_not_recorded():
    corrections = [Correction(1, "retract", 7, None, None, None, "beam stop", time_of(1), "a")]
    with pytest.raises(RefusedError, match=r"^revision 7 was retracted: beam stop: activate one that is right$"):
        decide_record_position(active(), corrections, links_now())
