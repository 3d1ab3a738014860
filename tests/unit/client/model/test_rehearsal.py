"""Whether positions will determine a model, before anything is calibrated."""

import pytest

from ponikeeper.errors import FitError
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.rehearsal import require_determined

UNITS = {"z": "mm", "x": "um", "tth": "deg", "energy": "keV"}
RAIL = Motion(("z",), (), None)
STAGES = Motion(("z", "x"), (), None)
ARM = Motion((), (("tth", -2),), None)
BOTH = Motion(("z",), (("tth", 1),), None)
ENERGY = Motion(("z",), (), "energy")


def positions(**values):
    return [dict(zip(values, map(float, each), strict=True)) for each in zip(*values.values(), strict=True)]


@pytest.mark.parametrize(
    ("motion", "where", "more"),
    [
        (RAIL, positions(z=(300, 700)), {}),
        (RAIL, positions(z=(-5000, 0, 5000)), {}),
        (STAGES, positions(z=(1, 2, 1), x=(0, 0, 4000)), {}),
        (ARM, positions(tth=(0, 20, 40)), {}),
        (ARM, positions(tth=(-120, 0, 100)), {}),
        (ARM, positions(tth=(5,)), {"nominal": True, "ranges": {"tth": (0.0, 40.0)}}),
        (BOTH, positions(z=(200, 400, 200, 300), tth=(0, 20, 40, 40)), {}),
        (ENERGY, positions(z=(200, 400), energy=(70, 80)), {}),
    ],
)
def test_enough_positions_are_accepted(motion, where, more):
    require_determined(motion, UNITS, where, **more)


@pytest.mark.parametrize(
    ("motion", "where", "named"),
    [
        (RAIL, positions(z=(300,)), "z.direction1, z.direction2, z.direction3"),
        (STAGES, positions(z=(1, 2, 3), x=(1, 2, 3)), "x.direction1"),
        (ARM, positions(tth=(0, 40)), "tth.tilt1, tth.tilt2"),
        (BOTH, positions(z=(200, 200, 200), tth=(0, 20, 40)), "z.direction1"),
    ],
)
def test_what_they_do_not_determine_is_named(motion, where, named):
    with pytest.raises(FitError, match=f"cannot determine .*{named}"):
        require_determined(motion, UNITS, where)


def test_energy_that_is_not_possible_is_named():
    with pytest.raises(FitError, match=r"position 2 has energy at 0 keV: expected more than 0"):
        require_determined(ENERGY, UNITS, positions(z=(200, 400), energy=(70, 0)))
