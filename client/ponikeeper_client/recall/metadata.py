"""The geometry of older runs of xpdAcq, which is in their start document: ``calibration_md``. Pure."""

from collections.abc import Mapping
from typing import Any

from ponikeeper.errors import GeometryError, NoGeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.text import strictjson

KEY = "calibration_md"

_ANGSTROM = 1e-10
_CONFIG = ("orientation", "max_shape", "sensor", "parallax")


def geometry(start: Mapping[str, Any]) -> Geometry:
    """Give the geometry of a start document.

    The values are pyFAI's, in m and rad; those of Fit2D beside them (mm, px, deg, um) say the same, rounded.

    Parameters
    ----------
    start
        The start document; where its calibration has no wavelength, ``bt_wavelength`` (angstrom) is it.

    Raises
    ------
    NoGeometryError
        Something is missing.
    GeometryError
        A value is none of a geometry.
    """
    given: Mapping[str, Any] = start[KEY]
    values = {name: given[name] for name in PARAMETERS if given.get(name) is not None}
    if "wavelength" not in values and start.get("bt_wavelength") is not None:
        values["wavelength"] = _angstrom(start["bt_wavelength"])
    missing = [name for name in PARAMETERS if name not in values]
    if missing:
        raise NoGeometryError(f"{KEY} of the run is no whole geometry: {', '.join(missing)} missing")
    spline = given.get("splineFile")
    if spline:
        raise NoGeometryError(f"{KEY} of the run needs the file {spline}, which corrects the detector: it is not kept")
    try:  # as a catalog has it: what pyFAI gives of it is of its own types
        config = strictjson.loads(strictjson.dumps({key: given[key] for key in _CONFIG if given.get(key) is not None}))
    except (TypeError, ValueError) as error:
        raise GeometryError(f"{KEY} of the run is no JSON: {error}") from None
    return Geometry.parse({**values, "detector": given.get("detector") or "Detector", "detector_config": config})


def _angstrom(value: Any) -> float:
    try:
        return float(value) * _ANGSTROM
    except (TypeError, ValueError):
        raise GeometryError(f"bt_wavelength {value!r} of the run is no number: expected angstrom") from None
