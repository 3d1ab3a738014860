"""The attributes that areaDetector writes with each frame: their names, and the PVs that they have the value of. Pure.

`HEADER` and `ALIVE` decide what the geometry of a frame is. The others are for programs that do not know the header:
each is a PV of its own, so around a change they can be of different activations.
"""

from dataclasses import dataclass

from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol.pvs import DETECTOR_PVS, PV, Kind, readback

PREFIX = "PK"
"""What the name of each attribute begins with: an IOC has attributes of its own."""


@dataclass(frozen=True, slots=True)
class FrameAttribute:
    """One attribute of a frame.

    Parameters
    ----------
    name
        Name of the NDAttribute, which ignores case.
    pv
        The PV of the detector.
    value
        The value of the geometry that it has; None for others.
    """

    name: str
    pv: PV
    value: str | None = None

    @property
    def dbr_type(self) -> str:
        """The CA type with which areaDetector must read it; a text by its native type would be one number."""
        return {Kind.DOUBLE: "DBR_DOUBLE", Kind.LONG: "DBR_LONG"}.get(self.pv.kind, "DBR_STRING")


_PVS = {pv.suffix: pv for pv in DETECTOR_PVS}


def _attribute(suffix: str, value: str | None = None) -> FrameAttribute:
    return FrameAttribute(PREFIX + suffix.removesuffix("_RBV"), _PVS[suffix], value)


HEADER = _attribute("Header_RBV")
ALIVE = _attribute("Alive_RBV")
REVISION = _attribute("Revision_RBV")
SERIAL = _attribute("Serial_RBV")
STATUS = _attribute("Status_RBV")
VALUES = {name: _attribute(readback(name), name) for name in (*NAMES, "detector_config")}
"""The values of the geometry by name."""
ENERGY = _attribute("Energy_RBV")
BEAM_X = _attribute("BeamX_RBV")
BEAM_Y = _attribute("BeamY_RBV")
DIRECT_DIST = _attribute("DirectDist_RBV")

ATTRIBUTES = (
    HEADER, ALIVE, REVISION, SERIAL, STATUS, *VALUES.values(), ENERGY, BEAM_X, BEAM_Y, DIRECT_DIST,
)  # fmt: skip
"""All of them, in the order of the file."""
