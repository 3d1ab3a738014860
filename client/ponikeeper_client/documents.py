"""From a snapshot to what a run's descriptor records, and from a descriptor back to a geometry: pure.

Nothing here knows ophyd or Channel Access, and pyFAI is loaded only where an integrator is asked for.
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ponikeeper import strictjson
from ponikeeper.contract import Status, readback
from ponikeeper.errors import GeometryError, NoGeometryError, ShapeError
from ponikeeper.geometry import NAMES, PARAMETERS, Geometry
from ponikeeper.messages import Snapshot

RECORD: tuple[str, ...] = ("detector_config", "revision", "revision_uid", "serial", "checksum", "label", "status")
"""What is recorded beside the ten values, all of it from the snapshot."""

Shape = tuple[int, int]


def values(snapshot: Snapshot, status: str) -> dict[str, Any]:
    """Give what a descriptor records, by attribute.

    Parameters
    ----------
    status
        The status as it is now; a snapshot tells the one of its own time.

    Returns
    -------
    dict
        The ten values are left out where there are none.
    """
    geometry = snapshot.geometry
    found: dict[str, Any] = {} if geometry is None else {name: getattr(geometry, name) for name in NAMES}
    config = {} if geometry is None else geometry.as_dict()["detector_config"]
    return found | {
        "detector_config": strictjson.dumps(config),
        "revision": snapshot.revision,
        "revision_uid": snapshot.uid or "",
        "serial": snapshot.serial,
        "checksum": snapshot.checksum or "",
        "label": snapshot.label or "",
        "status": status,
    }


def unknown(prefix: str) -> Snapshot:
    """Stand for an IOC that does not answer: no numbers, status UNKNOWN."""
    return Snapshot(prefix, Status.UNKNOWN.name, "the IOC did not answer")


def timestamp(snapshot: Snapshot) -> float:
    """Give the instant of the activation (s since 1970); now, where there is none."""
    return datetime.fromisoformat(snapshot.activated).timestamp() if snapshot.activated else time.time()


def reading(snapshot: Snapshot, status: str, name: str) -> dict[str, dict[str, Any]]:
    """Give what ``read_configuration()`` returns of a device of that name."""
    stamp = timestamp(snapshot)
    return {f"{name}_{key}": {"value": value, "timestamp": stamp} for key, value in values(snapshot, status).items()}


def description(snapshot: Snapshot, status: str, name: str, prefix: str) -> dict[str, dict[str, Any]]:
    """Give what ``describe_configuration()`` returns of a device of that name and PV prefix."""
    return {f"{name}_{key}": _data_key(key, value, prefix) for key, value in values(snapshot, status).items()}


def geometry(descriptor: Mapping[str, Any], detector: str | None = None, calib: str = "calib") -> Geometry:
    """Give the geometry that a run recorded.

    Parameters
    ----------
    descriptor
        An event descriptor: a document, or what Tiled or databroker give of it. The ten keys that
        xpdAcq records are enough.
    detector
        Name of the detector; may be left out where there is one only.
    calib
        Name of the detector's component.

    Raises
    ------
    NoGeometryError
        None was recorded, or of several detectors and none was named.
    GeometryError
        What was recorded is no geometry.
    """
    data, stem = _recorded(descriptor, detector, calib)
    if f"{stem}dist" not in data:
        status = data.get(f"{stem}status", "?")
        raise NoGeometryError(f"the run recorded {stem}status = {status}: there were no numbers to record")
    found: dict[str, Any] = {name: data.get(stem + name) for name in NAMES}
    config = data.get(f"{stem}detector_config", "{}")
    try:
        found["detector_config"] = strictjson.loads(config) if isinstance(config, str) else config
    except ValueError as error:
        raise GeometryError(f"{stem}detector_config is no JSON: {error}") from None
    return Geometry.parse(found)


def image_shape(descriptor: Mapping[str, Any], detector: str | None = None) -> Shape | None:
    """Give the shape (y, x) of a detector's image, as the descriptor's data keys tell it; None where they do not."""
    shapes: set[Shape] = set()
    for key, described in descriptor.get("data_keys", {}).items():
        owner = described.get("object_name", "")
        shape = [int(length) for length in described.get("shape") or ()]
        mine = detector is None or owner == detector or key.startswith(detector)
        if mine and len(shape) >= 2 and min(shape[-2:]) > 1:
            shapes.add((shape[-2], shape[-1]))
    return shapes.pop() if len(shapes) == 1 else None


def azimuthal_integrator(
    source: Mapping[str, Any] | Geometry,
    *,
    detector: str | None = None,
    calib: str = "calib",
    shape: Sequence[int] | None = None,
) -> Any:
    """Rebuild pyFAI's integrator from what a run recorded.

    Parameters
    ----------
    source
        A descriptor as for `geometry`, or a geometry.
    shape
        Of the image (y, x). Where it is left out, it is taken from the descriptor and has to be the
        detector's own; where it is given, a detector that pyFAI knows with another shape is
        replaced by a plain one of this shape.

    Returns
    -------
    pyFAI.integrator.azimuthal.AzimuthalIntegrator
        Its nine numbers are the recorded ones, bit-exact.

    Raises
    ------
    ShapeError
        The detector does not have the shape of the image, or not these pixels (binning).
    NoGeometryError, GeometryError
        As `geometry`.
    """
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    found = source if isinstance(source, Geometry) else geometry(source, detector, calib)
    recorded = None if isinstance(source, Geometry) else image_shape(source, detector)
    given = None if shape is None else (int(shape[-2]), int(shape[-1]))
    numbers = {name: getattr(found, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")}
    integrator = AzimuthalIntegrator(**numbers, detector=_detector(found, given, recorded))
    if found.detector_config.get("parallax"):
        integrator.enable_parallax(True)
    return integrator


def _recorded(descriptor: Mapping[str, Any], detector: str | None, calib: str) -> tuple[Mapping[str, Any], str]:
    """Find the one calibration among what a descriptor holds; ophyd-async joins names with a dash."""
    found: dict[str, Mapping[str, Any]] = {}
    pattern = re.compile(rf"((?:.*[_-])?{re.escape(calib)}[_-])(?:dist|status)")
    for name, recorded in descriptor.get("configuration", {}).items():
        if detector in (None, name):
            data = recorded.get("data", {})
            found |= {match.group(1): data for match in map(pattern.fullmatch, data) if match}
    if len(found) == 1:
        stem, data = found.popitem()
        return data, stem
    where = "the descriptor" if detector is None else f"the descriptor's detector {detector}"
    if not found:
        known = ", ".join(descriptor.get("configuration", {})) or "nothing"
        raise NoGeometryError(f"{where} has no {calib}_dist: it holds the configuration of {known}")
    raise NoGeometryError(f"{where} has several geometries ({', '.join(found)}): name one with detector= and calib=")


def _data_key(key: str, value: Any, prefix: str) -> dict[str, Any]:
    dtype = "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"
    source = readback(key) if key in NAMES else "Snapshot_RBV"
    found: dict[str, Any] = {"source": f"PV:{prefix}{source}", "dtype": dtype, "shape": []}
    if key in PARAMETERS:
        found["units"] = PARAMETERS[key].unit
    return found


def _detector(found: Geometry, given: Shape | None, recorded: Shape | None) -> Any:
    """Make pyFAI's detector, and see that it is the one that took the image."""
    from pyFAI.detectors import Detector, detector_factory

    pixels = {"pixel1": found.pixel1, "pixel2": found.pixel2}
    config: dict[str, Any] = found.as_dict()["detector_config"]  # type: ignore[assignment]
    config.pop("parallax", None)
    made = detector_factory(found.detector, {**pixels, **config})
    wanted = given or recorded
    same_pixels = (made.pixel1, made.pixel2) == (found.pixel1, found.pixel2)
    if same_pixels and (wanted is None or made.shape == wanted):
        return made
    if given is not None or (same_pixels and made.shape is None):
        return Detector(**pixels, max_shape=wanted, orientation=found.orientation)
    raise ShapeError(
        f"pyFAI's {found.detector} with pixels of {found.pixel1!r} x {found.pixel2!r} m has the shape {made.shape} "
        f"and pixels of {made.pixel1!r} x {made.pixel2!r} m, the image has the shape {wanted}: "
        f"was it binned or cut out? If this geometry holds for it all the same, say so with shape={wanted}"
    )
