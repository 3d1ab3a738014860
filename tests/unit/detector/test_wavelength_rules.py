"""Wavelengths that contradict a linked energy are refused, and others are not."""

from dataclasses import replace

import pytest

from deciding import active, decide, edit, problems
from ponikeeper.detector.record_position_rules import decide_record_position
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit, LinkState
from strategies import VALUES

HARD = 1.5896e-11
"""The wavelength (m) of 78 keV."""


def with_mismatch(energy, **more):
    state = {"moving": False, "connected": True} | more
    return (LinkState("mono", "XF:Mono", "energy", "keV", 1e-4, energy, None, mismatch=0.02, **state),)


def commits(**values):
    return Commit(values, position="now"), replace(edit(**values)), Commit({**VALUES, **values}, position="now")


@pytest.mark.parametrize("energy", [66.0, 80.0, 0.0, -3.0])
def test_wavelength_that_contradicts_the_energy_at_rest_is_refused_with_both_and_what_to_type(energy):
    links = with_mismatch(energy)
    for commit in commits(wavelength=HARD):
        (problem,) = problems(active(), commit, units={"mono": "keV"}, links=links, edit_position="now")
        assert problem.startswith("wavelength 1.5896e-11 m is 77.99")
        assert f"but mono (XF:Mono) is at {energy:g} keV" in problem
        assert 'put a Request with "op": "commit" and "force": true' in problem
        forced = decide(active(), replace(commit, force=True), units={"mono": "keV"}, links=links, edit_position="now")
        assert forced.position == {"mono": {"value": energy, "units": "keV"}}


@pytest.mark.parametrize(
    "links",
    [
        with_mismatch(78.0),
        with_mismatch(79.4),  # 1.8 %
        with_mismatch(66.0, moving=True),
        with_mismatch(66.0, moving=None),
        with_mismatch(66.0, connected=False),
        with_mismatch(None),
        with_mismatch(66.0, error="XF:Mono is in INVALID alarm"),
    ],
)
def test_wavelength_is_accepted_where_it_agrees_or_the_energy_is_not_known(links):
    for commit in commits(wavelength=HARD):
        draft = decide(active(), commit, units={"mono": "keV"}, links=links, edit_position="now")
        assert (draft.position is None) is (links[0].unknown_because is not None)


def test_wavelength_that_nobody_touched_is_no_reason_to_refuse():
    """Neither a put to another value, nor one of the wavelength that is active, nor an unknown position."""
    links, before = with_mismatch(66.0), active(Geometry.parse({**VALUES, "wavelength": HARD}))
    for position in ("keep", "now"):
        for commit in (edit(dist=0.3), edit(wavelength=HARD)):
            decide(before, commit, units={"mono": "keV"}, links=links, edit_position=position)
    decide(before, Commit({"dist": 0.3}, position="now"), units={"mono": "keV"}, links=links)
    decide(before, Commit({"wavelength": HARD}, position="unknown"), units={"mono": "keV"}, links=links)
    decide(before, Commit({"wavelength": HARD}, position={"mono": 66.0}), units={"mono": "keV"}, links=links)
    decide(before, edit(wavelength=HARD * 1.001), units={"mono": "keV"}, links=links)


def test_record_of_a_position_that_contradicts_the_wavelength_is_refused_unless_forced():
    revision, links = active(Geometry.parse({**VALUES, "wavelength": HARD})), with_mismatch(66.0)
    (problem,) = problems(revision, decide_record_position(revision, (), links), units={"mono": "keV"}, links=links)
    assert problem.endswith('put a Request with "op": "record_position" and "force": true')
    forced = decide_record_position(revision, (), links, force=True)
    assert decide(revision, forced, units={"mono": "keV"}, links=links).position["mono"]["value"] == 66.0
