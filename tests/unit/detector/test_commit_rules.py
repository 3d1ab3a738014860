"""Commit rules: the revision that a request makes of the active one, without a store or a socket."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deciding import POSITION, UNITS, active, decide, edit, links_now, problems
from ponikeeper.detector.commit_rules import require_room
from ponikeeper.errors import RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol import MAX_BYTES, Commit
from strategies import VALUES, geometries, numbers

EVERYTHING = {name: (parameter.lower, parameter.upper) for name, parameter in PARAMETERS.items()}


@given(geometries(), st.sampled_from(sorted(PARAMETERS)).flatmap(lambda name: st.tuples(st.just(name), numbers(name))))
def test_edit_by_hand_changes_one_value_and_keeps_the_position_only(geometry, changed):
    name, value = changed
    draft = decide(active(geometry, position=POSITION), edit(**{name: value}), limits=EVERYTHING)
    assert draft.geometry == Geometry.parse({**geometry.as_dict(), name: value})
    assert draft.provenance == {"method": "manual", "author": "bob@host", "derived_from": 7}
    assert (draft.label, draft.position) == (None, POSITION)


def test_edit_of_a_revision_without_position_has_none():
    assert decide(active(position=None), edit(dist=0.3), units=UNITS, links=links_now()).position is None
    assert decide(None, edit(**VALUES), units=UNITS, links=links_now()).position is None


def test_edit_takes_the_position_of_the_links_where_the_configuration_says_so():
    draft = decide(active(position=None), edit(dist=0.3), units=UNITS, links=links_now(), edit_position="now")
    assert (draft.label, draft.position) == (None, POSITION)


@pytest.mark.parametrize("more", [{"position": "now"}, {"position": {"z": 1.0}}])
def test_edit_has_no_position_of_its_own(more):
    (problem,) = problems(active(), replace(edit(dist=0.3), **more), units=UNITS)
    assert problem.startswith("an edit has no position of its own: leave")


def test_edit_has_the_label_that_is_given():
    assert decide(active(), replace(edit(dist=0.3), label="far")).label == "far"


def test_commit_that_is_no_edit_keeps_its_own_label_and_position():
    draft = decide(active(), Commit({"dist": 0.3}, {"method": "fit"}))
    assert (draft.label, draft.position, draft.provenance) == (None, None, {"method": "fit", "author": "bob@host"})


def test_commit_without_inheritance_uses_no_active_values():
    values = {name: VALUES[name] for name in NAMES}
    assert decide(active(), Commit(values, inherit=False)).geometry.detector_config == {}
    assert (
        "incomplete: dist missing"
        in problems(active(), Commit({k: v for k, v in values.items() if k != "dist"}, inherit=False))[0]
    )


@pytest.mark.parametrize("name", NAMES)
def test_first_commit_lacks_nothing(name):
    values = {key: value for key, value in VALUES.items() if key != name}
    (messages,) = problems(None, Commit(values))
    assert messages.startswith(f"no revision is active yet, {name} missing: set all values at once")


def test_change_of_detector_brings_pixels_and_empties_the_configuration():
    geometry = decide(active(), Commit({"detector": "Pilatus1M"})).geometry
    assert (geometry.pixel1, geometry.pixel2) == pixel_size("Pilatus1M")
    assert geometry.detector_config == {}
    assert decide(active(), Commit({"detector": "Perkin"})).geometry == Geometry.parse(VALUES)


def test_values_that_are_given_with_a_detector_take_precedence_over_the_table():
    values = {"detector": "Pilatus1M", "pixel1": 5e-5, "detector_config": {"orientation": 2}}
    geometry = decide(active(), Commit(values)).geometry
    assert (geometry.pixel1, geometry.pixel2) == (5e-5, pixel_size("Pilatus1M")[1])
    assert geometry.detector_config == {"orientation": 2}


def test_unknown_detector_needs_both_pixels():
    assert "is not in the table" in problems(active(), Commit({"detector": "Own", "pixel1": 1e-4}))[0]
    assert decide(active(), Commit({"detector": "Own", "pixel1": 1e-4, "pixel2": 2e-4})).geometry.pixel2 == 2e-4


def test_limits_of_the_detector_are_applied():
    messages = problems(active(), Commit({"dist": 5.0}), limits={"dist": (0.1, 3.0)})
    assert messages == ("dist 5.0 m is outside the limits of this detector: expected 0.1 <= dist <= 3.0 m",)


SLIPS = {"dist": 31.0, "poni1": 40.0, "rot2": 2.5}


@pytest.mark.parametrize("name", SLIPS)
@pytest.mark.parametrize(
    "commit",
    [
        lambda **slip: edit(**slip),  # a put, Stage
        lambda **slip: Commit({**VALUES, **slip}, {"method": "poni"}, inherit=False),  # Poni, seed
        lambda **slip: Commit({**VALUES, **slip}),  # Request
    ],
)
def test_slip_is_refused_unless_limits_allow_it_or_the_value_is_active_already(name, commit):
    value = SLIPS[name]
    (message,) = problems(active(), commit(**{name: value}))
    assert message.startswith(f"{name} {value}")
    assert "looks like" in message
    assert decide(active(), commit(**{name: value}), limits={name: (0.0, 50.0)}).geometry.as_dict()[name] == value
    before = active(Geometry.parse({**VALUES, name: value}))
    assert decide(before, commit(**{name: value}) if commit(dist=1.0).edit else commit(**{name: value, "rot1": 0.01}))


def test_slips_are_reported_with_the_other_problems():
    messages = problems(active(), Commit({"dist": 31.0, "rot1": 1.5}, label="7"))
    assert [message.split()[0] for message in messages] == ["label", "dist", "rot1"]


def test_all_problems_are_reported_at_once():
    commit = Commit({"dist": -1, "rot1": 90, "detector": "Own"}, label="7", position={"y": 1.0}, expect_revision=3)
    messages = problems(active(), commit, units=UNITS)
    for word in (
        "expect_revision 3",
        'label "7"',
        'names "y"',
        "dist -1",
        "rot1 90",
        '"Own"',
    ):
        assert sum(word in problem for problem in messages) == 1, word
    assert len(messages) == 6


def test_position_is_stored_with_its_units():
    assert decide(active(), Commit({}, position={"z": 1.5, "energy": 75}), units=UNITS).position == {
        "z": {"value": 1.5, "units": "mm"},
        "energy": {"value": 75.0, "units": "keV"},
    }
    assert decide(active(), Commit({}, position="unknown"), units=UNITS).position is None
    part = decide(active(), Commit({}, position={"z": 1.5}), units=UNITS).position
    assert part == {"z": {"value": 1.5, "units": "mm"}}  # the value of the other link is unknown


def test_position_now_is_where_the_links_stand():
    commit = Commit({"dist": 0.3}, position="now")
    assert decide(active(), commit, units=UNITS, links=links_now()).position == POSITION


@pytest.mark.parametrize(
    "links",
    [
        (),  # nothing is known of the links yet
        links_now()[:1],
        links_now(moving=True),
        links_now(moving=None),
        links_now(connected=False),
        links_now(z=None),
        links_now(energy=None),
    ],
)
def test_position_now_is_unknown_unless_every_link_is_known(links):
    assert decide(active(), Commit({}, position="now"), units=UNITS, links=links).position is None


@pytest.mark.parametrize("position", ["unknown", {"z": 1.5, "energy": 70.0}])
def test_explicit_position_is_stored_instead_of_the_present_one(position):
    draft = decide(active(), Commit({}, position=position), units=UNITS, links=links_now())
    values = draft.position and {name: place["value"] for name, place in draft.position.items()}
    assert values == (None if position == "unknown" else position)


def test_snapshot_that_would_not_fit_is_refused():
    fits = decide(active(), Commit({"detector_config": {"a": "x" * 14_000}}))
    require_room("P:", fits, ())
    with pytest.raises(RefusedError, match="shorten detector_config or the comment"):
        require_room("P:", decide(active(), Commit({"detector_config": {"a": "x" * 15_800}})), ())


def test_snapshot_fits_its_pv_with_any_reason():
    geometry = Geometry.parse({**VALUES, "detector_config": {"a": "x" * (MAX_BYTES - 1500)}})
    draft = decide(None, Commit(geometry.as_dict(), inherit=False))
    with pytest.raises(RefusedError, match="the snapshot could have"):
        require_room("X:", draft, ())
    shorter = Geometry.parse({**VALUES, "detector_config": {"a": "x" * (MAX_BYTES - 3000)}})
    require_room("X:", decide(None, Commit(shorter.as_dict(), inherit=False)), ())
