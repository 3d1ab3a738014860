"""Which of its attempts a fit from nothing accepts: by the innermost rings, or by rings all over the panel."""

from dataclasses import replace

import pytest

from mixed_scenes import mixed_scene
from ponikeeper_client.fit._acceptance import BLIND_START
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image
from powder import off_px, real_nickel


def blind(image, truth, standard, mask=None):
    nothing = replace(truth, dist=1.0, poni1=0.0, poni2=0.0, rot1=0.0, rot2=0.0)
    return fit_image(image, nothing, calibrant(standard), mask=mask, tolerance=BLIND_START)


@pytest.mark.parametrize(("kind", "seed"), [pytest.param("plain", 140, marks=pytest.mark.campaign), ("edge", 173)])
def test_rings_all_over_the_panel_are_used_where_the_innermost_leave_it_uncertain(kind, seed):
    """By the innermost rings these results were 0.47 px off, with 0.40 px stated."""
    scene = mixed_scene(kind, seed)
    result = blind(scene.image(), scene.truth, scene.calibrant)
    assert result.accepted
    assert off_px(scene.truth, result.geometry) < 0.3
    assert result.certainty.panel_px < 0.3


def test_rings_that_fit_far_worse_do_not_replace_the_innermost(real_data):
    """The outer rings of a real flat panel are 0.4 px from their lines, the inner ones 0.08 px."""
    real = real_nickel(real_data)
    result = blind(real.image, real.published, real.calibrant, real.mask)
    assert result.accepted
    assert result.refined.residual_px < 0.1
