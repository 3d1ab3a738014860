"""Control points: which rings are measured."""

import numpy as np
import pytest

from ponikeeper_client.fit._control_points import profile_widths
from ponikeeper_client.fit._forward_model import params_of
from ponikeeper_client.fit._frame import Frame
from powder import on_detector

WIDE = on_detector("Perkin", 4e-4, 0.3, (0.5, 0.02), (0, 0))
"""Rings are seen up to 55 degrees, where a ring is three times as wide in pixels as near the beam."""

RING_WIDTH = 3e-3


@pytest.mark.parametrize(("step", "used"), [(1.8, False), (1.9, True)], ids=["overlap", "separate"])
@pytest.mark.parametrize("everywhere", [False, True], ids=["innermost", "everywhere"])
def test_rings_that_overlap_are_not_used_at_any_angle(step, used, everywhere):
    frame = Frame.of(np.ones((1024, 1024), np.int32), WIDE, None)
    lines = np.arange(0.1, 0.9, step * RING_WIDTH)
    widths = profile_widths(frame, params_of(WIDE), lines, 20.0, 20, RING_WIDTH, everywhere=everywhere)
    assert (widths > 0).any() == used
    assert np.count_nonzero(widths) in (0, 20)
