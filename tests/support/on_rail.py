"""A detector on a rail that sees nickel wherever it is."""

import functools
from collections.abc import Mapping
from dataclasses import replace

from calibrating import SMALL, Panel, small
from ponikeeper.geometry.kinematics import Chain, Translate
from ponikeeper_client.demo import nickel
from ponikeeper_client.demo.story import NEAR

FIRST = 200.0
_AT_FIRST = small(replace(NEAR, dist=0.2391, poni1=0.2013, poni2=0.2052, rot1=0.011, rot2=-0.006))


def truth(place, across=0.0):
    """Return the true geometry at a place of the rail (mm), which is 4 mrad off the beam, and of a stage across it."""
    at = _AT_FIRST
    values = (at.dist, at.poni1, at.poni2, at.rot1, at.rot2, at.rot3)
    joints = (Translate("z", "mm", 1e-3, (3.2e-3, -2.4e-3, 1.0)), Translate("y", "mm", 1e-3, (0.01, 1.0, 2e-3)))
    chain = Chain(values, at.wavelength, {"z": FIRST, "y": 0.0}, joints)
    dist, poni1, poni2, rot1, rot2, rot3 = chain.pose({"z": place, "y": across}).values()
    return replace(at, dist=dist, poni1=poni1, poni2=poni2, rot1=rot1, rot2=rot2, rot3=rot3)


@functools.cache
def frame(place, across, off):
    geometry = truth(place, across)
    return nickel.image(replace(geometry, poni1=geometry.poni1 + off), SMALL, seed=int(place))


class OnRail(Panel):
    """A detector that sees what is to be seen where it is; nothing at `dark` places; `off` are displacements (m)."""

    rail = across = None
    dark = ()
    off: Mapping[float, float] = {}

    def trigger(self):
        place = self.rail.position
        across = 0.0 if self.across is None else self.across.get()
        self.frames = [frame(place, across, self.off.get(place, 0.0)) * (place not in self.dark)]
        return super().trigger()
