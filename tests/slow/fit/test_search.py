"""The search for rings from nothing: panels near the sample, and steep ones."""

from dataclasses import replace

import pytest

from mixed_scenes import SMALL, mixed_scene
from ponikeeper_client.fit._control_points import profile_widths
from ponikeeper_client.fit._forward_model import geometry_of, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._search import LONGEST, SHORTEST, search
from ponikeeper_client.fit.calibrants import calibrant
from powder import off_px

NEAR_ENOUGH = 5.0
"""From so far away a candidate is refined to the truth (px rms over the panel)."""

PANELS = {"small": SMALL, "whole": None}


def framed(kind, seed, panels):
    """Return the scene, its frame without a start, and the lines of its standard."""
    scene = mixed_scene(kind, seed, panels=PANELS[panels])
    nothing = replace(scene.truth, dist=1.0, poni1=0.0, poni2=0.0, rot1=0.0, rot2=0.0)
    frame = Frame.of(scene.image(), nothing, None)
    return scene, frame, calibrant(scene.calibrant).lines(scene.truth.wavelength)


@pytest.mark.parametrize(
    ("kind", "seed", "panels"),
    [("steep", 16, "small"), ("edge", 3, "whole")],
    ids=["steep", "most rings are beyond the 50th line"],
)
def test_rings_are_found_from_nothing(kind, seed, panels):
    scene, frame, lines = framed(kind, seed, panels)
    steps = search(frame, lines, (SHORTEST, LONGEST))
    away = (off_px(scene.truth, geometry_of(one.params, scene.truth)) for step in steps for one in step[:2])
    assert any(distance < NEAR_ENOUGH for distance in away)


def test_ring_that_is_as_small_as_a_beam_stop_is_not_measured():
    scene, frame, lines = framed("spotty", 66, "whole")
    widths = profile_widths(frame, params_of(scene.truth), lines, 10.0, 40)
    assert widths[0] == 0
    assert widths[2] > 0
