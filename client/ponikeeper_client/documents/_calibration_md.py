"""The mapping ``calibration_md`` of xpdAcq, with which its reducers make a pyFAI integrator. Pure."""

from typing import Any, cast

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS

CALIBRATION_MD = "calibration_md"
"""Key of the start document."""

CALIBRATION_MD_SOURCE = "calibration_md_source"
"""Key of the start document that says where ``calibration_md`` comes from, and whether it applies."""

_VERSION, _SENSOR_VERSION = 2.1, 3


def calibration_md(geometry: Geometry) -> dict[str, Any]:
    """Return a geometry as xpdAcq writes it into the start document of a run.

    It has the keys of pyFAI's ``getPyFAI()``, for readers that call ``setPyFAI(**calibration_md)``, and in addition
    those of its ``get_config()``, for readers that call ``set_config(calibration_md)``. Both get the same geometry.

    Parameters
    ----------
    geometry
        The geometry.

    Returns
    -------
    dict
        ``dist``, ``poni1``, ``poni2``, ``rot1``, ``rot2``, ``rot3``, ``wavelength``, ``pixel1``, ``pixel2`` (m, rad),
        ``detector``, ``orientation``, and what else `detector_config` has, such as ``max_shape``; ``poni_version``,
        and ``detector_config`` with the pixel sizes; ``parallax`` where there is a sensor. JSON types.
    """
    values = geometry.as_dict()
    config = cast("dict[str, object]", values["detector_config"])
    parallax = bool(config.pop("parallax", False))
    needs_sensor = parallax or "sensor" in config
    config["orientation"] = geometry.orientation  # pyFAI writes its default, too
    return {
        **config,
        "detector": geometry.detector,
        **{name: getattr(geometry, name) for name in PARAMETERS},
        "poni_version": _SENSOR_VERSION if needs_sensor else _VERSION,
        "detector_config": {"pixel1": geometry.pixel1, "pixel2": geometry.pixel2, **config},
        **({"parallax": parallax} if needs_sensor else {}),
    }
