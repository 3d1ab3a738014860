"""The geometry as a NeXus chain of translations and rotations: names, kinds and vectors of its steps. Pure.

pyFAI has axis 1 up, axis 2 to the right as seen from the sample, axis 3 along the beam; NeXus (McStas)
has x to the left, y up, z along the beam: axis 1 is y, axis 2 is -x, axis 3 is z, both right-handed.
pyFAI rotates about 1 and 2 left-handed, about 3 right-handed, in this order (pyFAI documentation,
"Geometry"). The values in the chain are pyFAI's own, to the last bit; only the vectors differ.
"""

from dataclasses import dataclass

from ponikeeper.geometry.parameters import PARAMETERS

Vector = tuple[float, float, float]

UP: Vector = (0.0, 1.0, 0.0)
DOWN: Vector = (0.0, -1.0, 0.0)
RIGHT: Vector = (-1.0, 0.0, 0.0)
LEFT: Vector = (1.0, 0.0, 0.0)
BEAM: Vector = (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the chain; the next step acts on its result.

    Parameters
    ----------
    name
        The value of the geometry, and the name of the NeXus field.
    kind
        ``translation`` along, or ``rotation`` about, `vector` (right-handed).
    vector
        Unit vector (x, y, z) in the NeXus frame.
    """

    name: str
    kind: str
    vector: Vector

    @property
    def units(self) -> str:
        """Unit of the value: ``m`` or ``rad``."""
        return PARAMETERS[self.name].unit


CHAIN = (
    Step("poni1", "translation", DOWN),
    Step("poni2", "translation", LEFT),
    Step("dist", "translation", BEAM),
    Step("rot1", "rotation", DOWN),
    Step("rot2", "rotation", LEFT),
    Step("rot3", "rotation", BEAM),
)
"""The steps from the corner where axes 1 and 2 of pyFAI begin to the laboratory."""
