"""A geometry in the documents of a run: how a descriptor records it, and how it comes back out.

Pure: no ophyd here, so other readers of documents can use it too. pyFAI is loaded where a detector
is built.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from ponikeeper import strictjson
from ponikeeper.contract import readback
from ponikeeper.errors import GeometryError, MissingExtraError, NoGeometryError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.messages import Snapshot
from ponikeeper.parameters import NAMES, PARAMETERS

RECORDED: Mapping[str, str] = {
    "detector_config": readback("detector_config"),
    "revision": "Revision_RBV",
    "revision_uid": "Snapshot_RBV",
    "serial": "Serial_RBV",
    "checksum": "Snapshot_RBV",
    "label": "Label_RBV",
    "status": "Status_RBV",
}
"""What is recorded beside the ten values, and the PV that shows it."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a descriptor holds of one calibration, each part by key.

    Parameters
    ----------
    data
        Values; never None.
    timestamps
        The activation's instant, for every key the same (s since 1970).
    data_keys
        ``dtype``, ``shape``, ``source`` and, for the nine numbers, ``units``.
    """

    data: dict[str, Any]
    timestamps: dict[str, float]
    data_keys: dict[str, dict[str, Any]]


def configuration(snapshot: Snapshot, status: str, name: str) -> Configuration:
    """Make of a snapshot what the descriptor of a run records.

    Parameters
    ----------
    status
        The status to record; it may be newer than the snapshot's.
    name
        Name of the device, with which each key begins: ``area_detector_calib``.

    Returns
    -------
    Configuration
        Without a geometry the ten values are left out: a number that is not there cannot be
        mistaken for one that is.
    """
    values: dict[str, Any] = {}
    config: object = {}
    if snapshot.geometry is not None:
        values = snapshot.geometry.as_dict()
        config = values.pop("detector_config")
    values |= {
        "detector_config": strictjson.dumps(config),
        "revision": snapshot.revision,
        "revision_uid": snapshot.uid or "",
        "serial": snapshot.serial,
        "checksum": snapshot.checksum or "",
        "label": snapshot.label or "",
        "status": status,
    }
    since = time.time() if snapshot.activated is None else datetime.fromisoformat(snapshot.activated).timestamp()
    return Configuration(
        data={f"{name}_{key}": value for key, value in values.items()},
        timestamps={f"{name}_{key}": since for key in values},
        data_keys={f"{name}_{key}": _data_key(snapshot.prefix, key, value) for key, value in values.items()},
    )


def geometry(descriptor: Mapping[str, Any], detector: str | None = None, calib: str = "calib") -> Geometry:
    """Give the geometry that a descriptor recorded.

    Parameters
    ----------
    descriptor
        An event descriptor: the document, or what Tiled or databroker make of it. Runs of xpdAcq,
        which have the ten values alone, are read too.
    detector
        Which detector, where there are several.
    calib
        Name of the component that recorded the geometry.

    Raises
    ------
    NoGeometryError
        None was recorded, none was in force, or it is not clear whose is meant.
    GeometryError
        What was recorded is no geometry.
    """
    name, values = _recorded(descriptor, detector, calib)
    status = values.get("status", "not recorded")
    missing = [key for key in NAMES if values.get(key) is None]
    if len(missing) == len(NAMES):
        why = {
            "UNSET": "no calibration had been committed when the run was taken",
            "UNKNOWN": "the IOC did not answer when the run was taken",
        }.get(status, "the ten values are not there")
        raise NoGeometryError(f"the run recorded no geometry of {name}: the status is {status}, {why}")
    if missing:
        raise NoGeometryError(f"the run recorded no whole geometry of {name}: {', '.join(missing)} missing")
    config = values.get("detector_config") or {}
    if isinstance(config, str):
        try:
            config = strictjson.loads(config)
        except ValueError as error:
            raise GeometryError(f"the recorded detector_config of {name} is no JSON: {error}") from None
    return Geometry.parse({**{key: values[key] for key in NAMES}, "detector_config": config})


def image_shape(descriptor: Mapping[str, Any], detector: str) -> tuple[int, int] | None:
    """Give the shape (y, x) of a detector's images as a descriptor tells it; None where it does not.

    Parameters
    ----------
    detector
        Name of the detector.

    Raises
    ------
    ShapeError
        Its images have several shapes.
    """
    keys: Mapping[str, Any] = descriptor.get("data_keys") or {}
    owned = (descriptor.get("object_keys") or {}).get(detector)
    if owned is None:
        owned = [key for key in keys if key.startswith((f"{detector}_", f"{detector}-"))]
    found = {key: tuple(keys[key].get("shape") or ())[-2:] for key in owned if key in keys}
    shapes = {key: shape for key, shape in found.items() if len(shape) == 2 and all(shape)}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise ShapeError(f"{detector} has images of several shapes ({told}): say with shape= which is meant")
    return next(((int(shape[0]), int(shape[1])) for shape in shapes.values()), None)


def azimuthal_integrator(
    source: Geometry | Mapping[str, Any],
    *,
    detector: str | None = None,
    calib: str = "calib",
    shape: Sequence[int] | None = None,
) -> Any:
    """Rebuild pyFAI's integrator, bit-exact in the nine numbers.

    Parameters
    ----------
    source
        A geometry, or an event descriptor to take it from.
    detector, calib
        As for `geometry`.
    shape
        Shape (y, x) of the images. Given, the detector is made of that shape; else it is pyFAI's,
        and has to fit the images that the descriptor tells of.

    Returns
    -------
    pyFAI.integrator.azimuthal.AzimuthalIntegrator

    Raises
    ------
    NoGeometryError
        As `geometry`.
    ShapeError
        The detector does not have the shape of the images, or pyFAI does not know the detector
        and the shape is not known either.
    MissingExtraError
        pyFAI is not installed.
    """
    try:
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    except ModuleNotFoundError as error:
        raise MissingExtraError("fit", error.name or "pyFAI") from error
    if isinstance(source, Geometry):
        found, images = source, None
    else:
        found = geometry(source, detector, calib)
        images = None if shape is not None else image_shape(source, _recorded(source, detector, calib)[0])
    given = None if shape is None else _image_shape(shape)
    numbers = {name: getattr(found, name) for name in PARAMETERS if not name.startswith("pixel")}
    integrator = AzimuthalIntegrator(**numbers, detector=_pyfai_detector(found, images, given))
    if found.detector_config.get("parallax"):
        integrator.enable_parallax()
    return integrator


def _image_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Take a shape (y, x); raises `ShapeError` where it is none."""
    if len(shape) != 2 or min(shape) < 1:
        raise ShapeError(f"shape={tuple(shape)} is no shape of an image: expected two positive numbers, (y, x)")
    return int(shape[0]), int(shape[1])


def _pyfai_detector(found: Geometry, images: tuple[int, int] | None, given: tuple[int, int] | None) -> Any:
    """Build the detector: pyFAI's where its shape fits, a plain one of the given shape where it does not."""
    from pyFAI.detectors import detector_factory

    config = cast("dict[str, Any]", found.as_dict()["detector_config"])
    config.pop("parallax", None)
    config |= {"pixel1": found.pixel1, "pixel2": found.pixel2}
    built = _from_factory(found, config, given is not None)
    wanted = given or images
    own = None if built is None else built.shape
    if built is not None and (wanted is None or (own is not None and tuple(own) == wanted)):
        return _with_pixels(built, found)
    if given is None and own is not None:
        raise ShapeError(
            f"the images have the shape {images}, but {found.detector} with pixels of {found.pixel1!r} m x "
            f"{found.pixel2!r} m has {tuple(own)} in pyFAI: the geometry is for another binning, or the detector "
            f"is not that one; if the pixels are right, give shape={images}"
        )
    if wanted is None:
        raise ShapeError(
            f"pyFAI does not know the detector {found.detector}: give the shape of the images, shape=(y, x)"
        )
    if built is not None and not built.IS_FLAT:
        raise ShapeError(
            f"{found.detector} is not flat and has {own} pixels: a flat one of shape {wanted} cannot stand for it"
        )
    return _with_pixels(detector_factory("Detector", {**config, "max_shape": list(wanted)}), found)


def _from_factory(found: Geometry, config: Mapping[str, Any], replaceable: bool) -> Any:
    """Build pyFAI's own detector; None where it knows none of that name, or fails and a plain one will do."""
    from pyFAI.detectors import Detector, detector_factory

    if found.detector.lower().replace(" ", "_") not in Detector.registry:  # else the factory would look for a file
        return None
    try:
        return detector_factory(found.detector, dict(config))
    except Exception as error:  # some classes divide by a binning of 0, where the pixels are far from theirs
        if replaceable:
            return None
        raise ShapeError(
            f"pyFAI cannot make {found.detector} with pixels of {found.pixel1!r} m x {found.pixel2!r} m ({error}): "
            "if they are right, give the shape of the images, shape=(y, x)"
        ) from error


def _with_pixels(built: Any, found: Geometry) -> Any:
    if (built.pixel1, built.pixel2) != (found.pixel1, found.pixel2):
        raise ShapeError(
            f"pyFAI makes {found.detector} with pixels of {built.pixel1!r} m x {built.pixel2!r} m, recorded are "
            f"{found.pixel1!r} m x {found.pixel2!r} m: give the shape of the images, shape=(y, x)"
        )
    return built


def _data_key(prefix: str, key: str, value: object) -> dict[str, Any]:
    dtype = "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"
    source = readback(key) if key in NAMES else RECORDED[key]
    found: dict[str, Any] = {"source": f"PV:{prefix}{source}", "dtype": dtype, "shape": []}
    if key in PARAMETERS:
        found["units"] = PARAMETERS[key].unit
    return found


def _recorded(descriptor: Mapping[str, Any], detector: str | None, calib: str) -> tuple[str, dict[str, Any]]:
    """Find what one calibration recorded: its device's name, and its values by their plain names."""
    found = dict(_calibrations(descriptor, calib))
    names = ", ".join(found) or "none"
    if detector is not None and detector not in found:
        raise NoGeometryError(f"the run recorded no geometry of {detector}: detectors with a {calib} are {names}")
    if not found:
        others = ", ".join(descriptor.get("configuration") or {}) or "none"
        raise NoGeometryError(
            f"the run recorded no geometry: no detector has a component {calib} "
            f"(it recorded the configuration of: {others})"
        )
    if detector is None and len(found) > 1:
        raise NoGeometryError(
            f"the run recorded the geometry of several detectors: say which with detector=, of {names}"
        )
    name = detector or next(iter(found))
    return name, found[name]


def _calibrations(descriptor: Mapping[str, Any], calib: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each object that recorded a calibration; ophyd joins names by "_", ophyd-async by "-"."""
    configured: Mapping[str, Any] = descriptor.get("configuration") or {}
    for name, recorded in configured.items():
        data: Mapping[str, Any] = recorded.get("data") or {}
        bases = [f"{name}{joint}{calib}" for joint in "_-"] + [name] * name.endswith(calib)
        starts = {base + joint for base in bases for joint in "_-"}
        values = {
            key: data[start + spelled]
            for key in (*NAMES, *RECORDED)
            for start in starts
            for spelled in (key, key.replace("_", "-"))
            if start + spelled in data
        }
        if values:
            yield name, values
