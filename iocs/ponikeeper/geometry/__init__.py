"""The geometry of a detector: the ten values and `detector_config`, their limits and units, PONI texts."""

from ponikeeper.geometry.geometry import (
    DEFAULT_ORIENTATION,
    MAX_DETECTOR_BYTES,
    Fit2D,
    Geometry,
    unknown_names,
    value_problem,
)
from ponikeeper.geometry.parameters import HC_KEV_ANGSTROM

__all__ = [
    "DEFAULT_ORIENTATION",
    "HC_KEV_ANGSTROM",
    "MAX_DETECTOR_BYTES",
    "Fit2D",
    "Geometry",
    "unknown_names",
    "value_problem",
]
