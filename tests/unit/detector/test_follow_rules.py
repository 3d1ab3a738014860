"""Follow rules: whether the links have moved to another position, step by step."""

from dataclasses import replace

import pytest

from ponikeeper.detector.follow_rules import (
    LinkMotion,
    baseline_position,
    has_arrived,
    is_at,
    motion_after_restart,
    rebased,
    updated_motion,
)
from ponikeeper.protocol import LinkState

NEAR, FAR = 1000.0, 1500.0
REST = LinkState("z", "Z.RBV", "motor", "mm", 0.05, NEAR, None, moving=False, connected=True)
ENERGY = LinkState("energy", "E", "energy", "keV", 1e-4, 75.0, None, moving=False, connected=True)
GONE = {"value": None, "connected": False, "moving": None}
STORED = {"z": {"value": NEAR, "units": "mm"}, "energy": {"value": 75.0, "units": "keV"}}


def links(z=NEAR, energy=75.0, **more):
    return [replace(REST, **({"value": z} | more)), replace(ENERGY, value=energy)]


def decided(*steps, motion=None):
    """Return for each step whether a revision is searched for (look), and would be followed (follow)."""
    motion = motion_after_restart(links(), STORED) if motion is None else motion
    decisions = []
    for step in steps:
        motion = updated_motion(motion, step)
        decisions.append(
            "follow" if has_arrived(motion, step) and motion.moved else "look" if has_arrived(motion, step) else ""
        )
        if decisions[-1]:
            motion = rebased(motion, step)
    return decisions


MOVES = {"moving": True}

STORIES = {
    "nothing happens": ([links(), links()], ["", ""]),
    "noise": ([links(NEAR + 0.05), links(NEAR - 0.05), links(NEAR)], ["", "", ""]),
    "a drift": ([links(NEAR + 0.04), links(NEAR + 0.08), links(NEAR + 0.12)], ["", "follow", ""]),
    "to another place": ([links(NEAR, **MOVES), links(1200.0, **MOVES), links(FAR)], ["", "", "follow"]),
    "there and back": ([links(), links(1200.0, **MOVES), links(NEAR)], ["", "", "follow"]),
    "a start that goes nowhere": ([links(NEAR, **MOVES), links(NEAR)], ["", ""]),
    "on from there": (
        [links(FAR), links(FAR), links(FAR + 0.04), links(1200.0, **MOVES), links(NEAR)],
        ["follow", "", "", "", "follow"],
    ),
    "gone and back elsewhere": ([links(), links(**GONE), links(FAR)], ["", "", "look"]),
    "gone and back where it was": ([links(), links(**GONE), links()], ["", "", "look"]),
    "gone on the way": ([links(), links(1200.0, **MOVES), links(**GONE), links(FAR)], ["", "", "", "look"]),
    "gone on the way, and seen to move again": (
        [links(), links(1200.0, **MOVES), links(**GONE), links(1300.0, **MOVES), links(FAR)], ["", "", "", "", "look"],
    ),
    "back with what its server begins with": (
        [links(), links(**GONE), links(0.0, **MOVES), links(NEAR, **MOVES), links(NEAR)], ["", "", "", "", "look"],
    ),
    "another one gone on the way": (
        [links(), links(1200.0, **MOVES), [links(1300.0, **MOVES)[0], replace(ENERGY, **GONE)], links(FAR)],
        ["", "", "", "follow"],
    ),
    "waits for the other": (
        [[links(FAR)[0], replace(ENERGY, **GONE)], [links(FAR)[0], replace(ENERGY, moving=True)], links(FAR)],
        ["", "", "follow"],
    ),
    "energy": ([links(energy=75.007), links(energy=75.008)], ["", "follow"]),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_story(story):
    steps, decisions = story
    assert decided(*steps) == decisions


ABSENT = [replace(REST, **GONE), replace(ENERGY, **GONE)]

STARTS = {
    "nothing moved": (STORED, [ABSENT, links()], ["", ""]),
    "moved while it was down": (STORED, [ABSENT, links(FAR)], ["", "follow"]),
    "one comes late": (STORED, [ABSENT, [links(FAR)[0], ABSENT[1]], links(FAR)], ["", "", "follow"]),
    "its server begins": (STORED, [ABSENT, links(0.0, **MOVES), links(NEAR)], ["", "", ""]),
    "moves still": (STORED, [ABSENT, links(1200.0, **MOVES), links(FAR)], ["", "", "follow"]),
    "nothing was stored": ({}, [ABSENT, links(FAR)], ["", "look"]),
    "a link was added": ({"energy": STORED["energy"]}, [ABSENT, links(FAR)], ["", "look"]),
    "its units are others now": ({**STORED, "z": {"value": 1.0, "units": "m"}}, [ABSENT, links(FAR)], ["", "follow"]),
    "its units are unknown": ({**STORED, "z": {"value": 1.0, "units": "deg"}}, [ABSENT, links(FAR)], ["", "look"]),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_start(start):
    stored, steps, decisions = start
    assert decided(*steps, motion=motion_after_restart(ABSENT, stored)) == decisions


def test_stored_follow_state_has_the_position_at_which_the_links_rested():
    motion = updated_motion(motion_after_restart(links(), STORED), links(1200.0, **MOVES))
    assert baseline_position(motion, links()) == STORED  # so it has moved after a restart
    assert baseline_position(rebased(motion, links(FAR)), links())["z"] == {"value": FAR, "units": "mm"}
    assert baseline_position(LinkMotion(), links()) == {}


@pytest.mark.parametrize(
    ("position", "there"),
    [
        (STORED, True),
        ({**STORED, "z": {"value": NEAR + 0.05, "units": "mm"}}, True),
        ({**STORED, "z": {"value": NEAR + 0.06, "units": "mm"}}, False),
        ({**STORED, "z": {"value": 1.0, "units": "m"}}, True),
        ({**STORED, "z": {"value": 1000.0, "units": "deg"}}, False),
        ({"z": STORED["z"]}, False),  # the energy was not recorded
        ({**STORED, "y": {"value": 1.0, "units": "mm"}}, True),  # a link that is no longer configured
        (None, False),
        ({}, False),
    ],
)
def test_place(position, there):
    assert is_at(links(), position) is there


IN_OTHER_UNITS = {"z": {"value": NEAR * 1000, "units": "um"}, "energy": {"value": 75000.0, "units": "eV"}}


def test_position_in_other_units_is_the_same_place():
    assert is_at(links(), IN_OTHER_UNITS)
    assert not is_at(links(NEAR + 0.06), IN_OTHER_UNITS)
    assert not is_at(links(), {**IN_OTHER_UNITS, "z": {"value": NEAR, "units": "deg"}})


def test_links_whose_units_changed_with_a_restart_have_not_moved():
    motion = motion_after_restart(links(), IN_OTHER_UNITS)
    assert decided(links(), motion=motion) == [""]
    assert decided(links(FAR), motion=motion) == ["follow"]
