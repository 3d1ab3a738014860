"""Read a geometry from an event descriptor. Pure: it needs no ophyd, so other readers of documents can use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ponikeeper.errors import GeometryError, MessageError, NoGeometryError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import Files
from ponikeeper.geometry.parameters import NAMES, REQUIRED
from ponikeeper.protocol import LinkState
from ponikeeper.protocol.links import links_of
from ponikeeper.protocol.pvs import readback
from ponikeeper.text import strictjson
from ponikeeper_client.documents._models import RecordedModel, recorded_model
from ponikeeper_client.documents._positions import matched_keys
from ponikeeper_client.documents._status import StatusRecord, recorded_applicability, warn_once
from ponikeeper_client.documents._writing import RECORDED


@dataclass(frozen=True, slots=True)
class Calibration:
    """The values of one calibration in a descriptor.

    Parameters
    ----------
    detector
        Name of the object that recorded it.
    calib
        Name of its component; empty if the calibration was recorded as a device of its own.
    values
        The recorded values, by name without prefix: ``dist``, ``revision_uid``, ...
    prefix
        PV prefix from which it was read; None if it was not recorded.
    since
        When it was activated (s since 1970); None if it was not recorded.
    keys
        The key of each value in the documents, by name.
    """

    detector: str
    calib: str
    values: Mapping[str, Any]
    prefix: str | None = None
    since: float | None = None
    keys: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        """Name of the device that recorded it: ``pe1_calib``."""
        return next((key[: -len(plain) - 1] for plain, key in self.keys.items()), "")

    def status_record(self) -> StatusRecord:
        """Return what was recorded of the status.

        Returns
        -------
        StatusRecord
            Without a name where no status was recorded; without links where they cannot be read.
        """
        name = self.values.get("status")
        rows = self.values.get("link_states")
        return StatusRecord(str(name) if name else None, str(self.values.get("reason") or ""), _links(rows))

    def files(self) -> Files:
        """Return path and SHA-256 of the files of the geometry.

        Returns
        -------
        Files
            By what they are for; empty where none were recorded.

        Raises
        ------
        GeometryError
            What was recorded is not valid JSON.
        """
        text = self.values.get("files")
        try:
            return cast("Files", strictjson.loads(text)) if text else {}
        except ValueError as error:
            raise GeometryError(f"the recorded files of {self.detector} are not valid JSON: {error}") from None

    def part_of_provenance(self, key: str) -> Mapping[str, Any] | None:
        """Return a part of the provenance that was recorded as JSON.

        Parameters
        ----------
        key
            ``covariance``, ``valid_within`` or ``integration``.

        Returns
        -------
        Mapping or None
            None where it was not recorded, or is not valid JSON.
        """
        text = self.values.get(key)
        try:
            value = strictjson.loads(text) if text else None
        except ValueError:
            return None
        return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None

    def model(self) -> RecordedModel | None:
        """Return the model that gave the geometry.

        Returns
        -------
        RecordedModel or None
            None where the geometry is that of the revision.
        """
        return recorded_model(self.values.get("model"))

    def position_keys(self, data_keys: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Return the data keys that have the positions of the model's links, as far as they are found by their PVs.

        Parameters
        ----------
        data_keys
            Of the descriptor.

        Returns
        -------
        dict of str to str
            By the name of the link; empty where no model was active.
        """
        model, links = self.model(), _links(self.values.get("link_states"))
        if model is None or model.problem or not links:
            return {}
        return matched_keys(data_keys, {link.name: link.pv for link in links if link.name in model.joints})

    def geometry(self) -> Geometry:
        """Return the geometry.

        Returns
        -------
        Geometry
            The recorded geometry.

        Raises
        ------
        NoGeometryError
            No geometry was recorded, or none was active; the message says why.
        GeometryError
            The recorded values are not a geometry.
        """
        values, name = self.values, self.detector
        status = values.get("status", "not recorded")
        missing = [key for key in REQUIRED if values.get(key) is None]
        # revision 0 means no geometry: other values are then from another descriptor, and Tiled copied them to this one
        if len(missing) == len(REQUIRED) or values.get("revision") == 0:
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
                raise GeometryError(f"the recorded detector_config of {name} is not valid JSON: {error}") from None
        known = {key: values[key] for key in NAMES if values.get(key) is not None}
        return Geometry.parse({**known, "detector_config": config})


def calibrations(descriptor: Mapping[str, Any], calib: str | None = None) -> list[Calibration]:
    """Return every calibration that a descriptor recorded; ophyd joins names with "_", ophyd-async with "-".

    Parameters
    ----------
    descriptor
        An event descriptor: the document, or the object that Tiled or databroker return for it.
    calib
        Name of the component. If omitted, calibrations of any name are returned; they are recognized by
        keys that only a calibration has.

    Returns
    -------
    list of Calibration
        In the order of the descriptor.
    """
    results: list[Calibration] = []
    for name, recorded in (descriptor.get("configuration") or {}).items():
        data: Mapping[str, Any] = recorded.get("data") or {}
        for base in _bases(name, data, calib):
            keys = _keys(base, data)
            if keys:
                prefix = _prefix(keys, recorded.get("data_keys") or {})
                times = [time for key in keys.values() if (time := (recorded.get("timestamps") or {}).get(key))]
                values = {plain: data[key] for plain, key in keys.items()}
                component = base.removeprefix(name).lstrip("_-")
                results.append(Calibration(name, component, values, prefix, min(times, default=None), keys))
    return results


def position_columns(descriptor: Mapping[str, Any]) -> set[str]:
    """Return the data keys with the positions of the links of every model that a descriptor recorded.

    Parameters
    ----------
    descriptor
        An event descriptor.

    Returns
    -------
    set of str
        Empty where no model was active.
    """
    data_keys = descriptor.get("data_keys") or {}
    return {key for each in calibrations(descriptor) for key in each.position_keys(data_keys).values()}


def geometry(
    descriptor: Mapping[str, Any], detector: str | None = None, calib: str = "calib", *, any_status: bool = False
) -> Geometry:
    """Return the geometry that a descriptor recorded: of a model, what it gave for one position, which is logged.

    Parameters
    ----------
    descriptor
        An event descriptor: the document, or the object that Tiled or databroker return for it. Runs
        of xpdAcq, which have only the ten values, are read too.
    detector
        Name of the detector; required if there are several.
    calib
        Name of the component that recorded the geometry.
    any_status
        Return it also where it did not apply.

    Returns
    -------
    Geometry
        The recorded geometry.

    Raises
    ------
    NoGeometryError
        No geometry was recorded, none was active, or several were recorded and `detector` is omitted.
    GeometryError
        The recorded values are not a geometry.
    NotValidError
        The geometry did not apply when the descriptor was written.
    """
    return applied_geometry(recorded(descriptor, detector, calib), any_status)


def applied_geometry(calibration: Calibration, any_status: bool) -> Geometry:
    """Return the geometry of a calibration if it applied; errors as `geometry`."""
    result = calibration.geometry()
    if not any_status:
        number = int(calibration.values.get("revision") or 0)
        applicability = recorded_applicability(calibration.status_record(), result, number, calibration.files())
        applicability.require(f"the geometry of {calibration.detector}, as recorded,")
        _warn_of_model(calibration)
    return result


def _warn_of_model(calibration: Calibration) -> None:
    """Log that a descriptor of a model may have events at other positions."""
    model = calibration.model()
    if model is not None:
        place = "one position" if model.problem else model.place
        warn_once(
            f"the geometry of {calibration.detector}, as recorded, is what a model gave for {place}: "
            "ponikeeper_client.geometries(run) returns that of each event"
        )


def image_shape(descriptor: Mapping[str, Any], detector: str) -> tuple[int, int] | None:
    """Return the shape of a detector's images that a descriptor recorded.

    Parameters
    ----------
    descriptor
        An event descriptor.
    detector
        Name of the detector.

    Returns
    -------
    tuple of int or None
        Shape (y, x) in pixels; None if the descriptor does not have it.

    Raises
    ------
    ShapeError
        The images of the detector have different shapes.
    """
    keys: Mapping[str, Any] = descriptor.get("data_keys") or {}
    owned = (descriptor.get("object_keys") or {}).get(detector)
    if owned is None:
        owned = [key for key in keys if key.startswith((f"{detector}_", f"{detector}-"))]
    described = {key: tuple(keys[key].get("shape") or ())[-2:] for key in owned if key in keys}
    shapes = {key: shape for key, shape in described.items() if len(shape) == 2 and all(shape)}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise ShapeError(f"{detector} has images of several shapes ({listed}): say with shape= which is meant")
    return next(((int(shape[0]), int(shape[1])) for shape in shapes.values()), None)


def recorded(descriptor: Mapping[str, Any], detector: str | None, calib: str) -> Calibration:
    """Select one calibration; parameters and errors as `geometry`."""
    candidates = {each.detector: each for each in calibrations(descriptor, calib)}
    names = ", ".join(candidates) or "none"
    if detector is not None and detector not in candidates:
        raise NoGeometryError(f"the run recorded no geometry of {detector}: detectors with a {calib} are {names}")
    if not candidates:
        others = ", ".join(descriptor.get("configuration") or {}) or "none"
        raise NoGeometryError(
            f"the run recorded no geometry: no detector has a component {calib} "
            f"(it recorded the configuration of: {others})"
        )
    if detector is None and len(candidates) > 1:
        raise NoGeometryError(
            f"the run recorded the geometry of several detectors: say which with detector=, of {names}"
        )
    return candidates[detector or next(iter(candidates))]


_OWN = ("poni1", "revision_uid", "revision-uid")
"""Names that only a calibration has, whatever its component is called."""


def _links(rows: object) -> tuple[LinkState, ...] | None:
    """Read the recorded links; None where there are none that can be read."""
    if not rows:  # empty where they were not known, missing before 0.2
        return None
    try:
        return links_of(strictjson.loads(rows) if isinstance(rows, str) else rows)
    except (MessageError, ValueError):
        return None


def _bases(name: str, data: Mapping[str, Any], calib: str | None) -> list[str]:
    """Return the common prefixes of the keys of each calibration of one object."""
    if calib is not None:
        return [f"{name}{joint}{calib}" for joint in "_-"] + [name] * name.endswith(calib)
    ends = [joint + own for joint in "_-" for own in _OWN]
    bases = (key.removesuffix(end) for key in data for end in ends if key.endswith(end))
    return [base for base in dict.fromkeys(bases) if base.startswith(name)]


def _keys(base: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the key of each recorded value by its plain name."""
    spellings = (
        (key, f"{base}{joint}{spelled}")
        for key in (*NAMES, *RECORDED)
        for joint in "_-"
        for spelled in (key, key.replace("_", "-"))
    )
    return {key: spelled for key, spelled in spellings if spelled in data}


def _prefix(keys: Mapping[str, str], data_keys: Mapping[str, Any]) -> str | None:
    """Find the PV prefix in the sources of the data keys; None if no source is a PV of a calibration."""
    for plain, key in keys.items():
        source = str((data_keys.get(key) or {}).get("source", ""))
        suffix = readback(plain) if plain in NAMES else RECORDED[plain]
        for scheme in ("PV:", "ca://"):
            if source.startswith(scheme) and source.endswith(suffix):
                return source.removeprefix(scheme).removesuffix(suffix)
    return None
