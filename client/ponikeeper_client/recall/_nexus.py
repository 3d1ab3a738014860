"""Write a recalled geometry to a NeXus file: NXdetector with the chain from its pixels to the laboratory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ponikeeper.errors import GeometryError, MissingExtraError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.protocol import LinkState
from ponikeeper.system.atomic_write import atomic_path
from ponikeeper_client._geometry_errors import COVARIED, GeometryErrors
from ponikeeper_client.documents import integrator_of
from ponikeeper_client.recall import _nexus_axes
from ponikeeper_client.recall._pyfai import origin_lines, poni, require_one
from ponikeeper_client.recall._values import BestKnown, Recorded, recorded_of

_INSTRUMENT = "/entry/instrument"
_DETECTOR = f"{_INSTRUMENT}/detector"
_CHAIN = f"{_DETECTOR}/transformations"

_EXACT = 1e-12
"""How far a pixel may be off an even grid (m)."""

_LATTICE = 257
"""How many evenly spread rows and columns are checked for an even grid."""


def write_nexus(
    source: Recorded | BestKnown, path: str | Path, shape: Sequence[int] | None = None, *, any_status: bool = False
) -> None:
    """Write a geometry to a NeXus file, with its status; an existing file is replaced.

    The chain of ``transformations`` is exact, its values are pyFAI's own; ``distance`` and the beam
    centre follow from it, for people and for programs that do not read chains.

    Parameters
    ----------
    source
        One result of `recorded` or `best_known`.
    path
        The file.
    shape
        Shape (y, x) of the images in pixels: needed where neither the run nor pyFAI has it, or for
        another binning.
    any_status
        Write it also where it does not apply.

    Raises
    ------
    NoGeometryError
        The result has no geometry.
    NotValidError
        The geometry does not apply; no file is written.
    GeometryError
        NeXus cannot express it: the detector is not flat, its pixels are not all of one size, or the
        geometry corrects for parallax.
    GeometryFileError
        A file of the detector, or the mask, is missing or has another content; no file is written.
    ShapeError
        The detector does not have the shape of the images, or the shape is needed and not known.
    MissingExtraError
        pyFAI or h5py is not installed.
    ValueError
        `source` is not one result.
    OSError
        The file cannot be written; it is then as it was before.

    Examples
    --------
    >>> write_nexus(recorded(catalog[uid])[0], "near.nxs")
    """
    geometry = require_one(source).require_geometry(any_status=any_status)
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "h5py") from error
    images = None if shape is not None else recorded_of(source).image_shape
    detector = integrator_of(geometry, images, shape, files=source.files).detector
    _require_grid(geometry, detector)
    size = None if detector.shape is None else (int(detector.shape[0]), int(detector.shape[1]))
    pixels = _nexus_axes.pixels(geometry, size)  # before the file is opened: an error leaves no file
    with atomic_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["default"] = "entry"
        entry = _group(file, "entry", "NXentry")
        instrument = _group(entry, "instrument", "NXinstrument")
        _value(_group(instrument, "beam", "NXbeam"), "incident_wavelength", geometry.wavelength * 1e10, "angstrom")
        written = _group(instrument, "detector", "NXdetector")
        _write_detector(written, geometry, recorded_of(source).detector, size)
        _write_chain(_group(written, "transformations", "NXtransformations"), geometry)
        _write_pixels(_group(written, "detector_module", "NXdetector_module"), pixels, size)
        _write_origin(entry, source)


def _require_grid(geometry: Geometry, detector: Any) -> None:
    """Check that the pixels of a detector form one even grid."""
    if geometry.detector_config.get("parallax"):
        why = "it corrects for parallax, so where a pixel is depends on the ray"
    elif not detector.IS_FLAT:
        why = f"{geometry.detector} is not flat"
    elif not detector.uniform_pixel or _deviation(geometry, detector) > _EXACT:
        why = f"the pixels of {geometry.detector} do not form an even grid"
    else:
        return
    raise GeometryError(f"the geometry cannot be written as NeXus: {why}; write a PONI instead, write_poni(...)")


def _deviation(geometry: Geometry, detector: Any) -> float:
    """Compute how far the pixels are off an even grid (m): pyFAI calls some detectors with shifted modules uniform."""
    import numpy as np

    if detector.shape is None:
        return 0.0
    rows, columns = (np.unique(np.linspace(0, size - 1, _LATTICE).round()) for size in detector.shape)
    slow, fast = (each.ravel() for each in np.meshgrid(rows, columns, indexing="ij"))
    up, right, _ = detector.calc_cartesian_positions(slow, fast)
    from_top, from_right = geometry.orientation in (1, 2), geometry.orientation in (1, 4)
    slow = detector.shape[0] - 1 - slow if from_top else slow
    fast = detector.shape[1] - 1 - fast if from_right else fast
    off = np.abs(up - (slow + 0.5) * geometry.pixel1), np.abs(right - (fast + 0.5) * geometry.pixel2)
    return float(max(each.max() for each in off))


def _write_detector(group: Any, geometry: Geometry, name: str, shape: tuple[int, int] | None) -> None:
    group["local_name"] = name
    group["description"] = geometry.detector
    group["depends_on"] = f"{_CHAIN}/{_nexus_axes.chain(geometry)[0].name}"
    _value(group, "x_pixel_size", geometry.pixel2, "m")
    _value(group, "y_pixel_size", geometry.pixel1, "m")
    beam = _nexus_axes.beam(geometry, shape)
    if beam is not None:
        fast, slow, distance = beam
        _value(group, "beam_center_x", fast, "pixel")
        _value(group, "beam_center_y", slow, "pixel")
        _value(group, "distance", distance, "m")


def _write_chain(group: Any, geometry: Geometry) -> None:
    axes = _nexus_axes.chain(geometry)
    following = [*(f"{_CHAIN}/{axis.name}" for axis in axes[1:]), "."]
    for axis, after in zip(axes, following, strict=True):
        _axis(group, axis, after)


def _write_pixels(group: Any, pixels: _nexus_axes.Pixels, shape: tuple[int, int] | None) -> None:
    offset = _nexus_axes.Axis("module_offset", "translation", 0.0, "m", _nexus_axes.BEAM)
    _axis(group, offset, f"{_CHAIN}/poni1")
    group["module_offset"].attrs["offset"] = pixels.corner
    group["module_offset"].attrs["offset_units"] = "m"
    for axis in (pixels.slow, pixels.fast):
        _axis(group, axis, f"{_DETECTOR}/detector_module/module_offset")
    if shape is not None:
        group["data_origin"], group["data_size"] = (0, 0), shape


def _write_origin(entry: Any, source: Recorded | BestKnown) -> None:
    """Write where the geometry comes from, and the geometry as pyFAI reads it, to the last bit."""
    recorded = recorded_of(source)
    entry["entry_identifier"] = recorded.run_uid
    process = _group(entry, "calibration", "NXprocess")
    process["program"] = "ponikeeper"
    known = {
        "revision": source.revision,
        "revision_uid": source.uid,
        "checksum": source.checksum,
        "prefix": recorded.prefix,
        "recorded_revision": recorded.revision,
        "recorded_revision_uid": recorded.uid,
        "run_uid": recorded.run_uid,
        "stream": recorded.stream,
        "status": source.status,
        "status_reason": source.status_reason,
    }
    for name, value in known.items():
        if value is not None:
            process[name] = value
    for name, text in (("origin", "\n".join(origin_lines(source))), ("poni", poni(source, any_status=True))):
        note = _group(process, name, "NXnote")
        note["type"], note["data"] = "text/plain", text
    _write_covariance(process, source)
    _write_links(_group(process, "links", "NXcollection"), source.applicability.links or ())


def _write_covariance(process: Any, source: Recorded | BestKnown) -> None:
    """Write the covariance of the geometry (m, rad), with the standard deviation of each value; nothing without one."""
    errors = None if source.geometry is None else GeometryErrors.parse(source.geometry, source.covariance)
    if errors is None:
        return
    group = _group(process, "covariance", "NXcollection")
    group["names"] = list(COVARIED)
    _value(group, "matrix", errors.covariance, "m, rad")
    for name, sigma in errors.sigma().items():
        _value(group, f"{name}_errors", sigma, PARAMETERS[name].unit)
    for name, value in (source.valid_within or {}).items():
        _value(group, f"valid_within_{name}", value, "m")


def _write_links(group: Any, links: Sequence[LinkState]) -> None:
    """Write where each link was, and for which value the geometry was calibrated."""
    for link in links:
        positioner = _group(group, link.name, "NXpositioner")
        positioner["name"] = link.pv
        values = {"value": link.value, "calibrated": link.calibrated, "tolerance": link.tolerance}
        for name, value in values.items():
            if value is not None:
                _value(positioner, name, value, link.units)


def _group(parent: Any, name: str, kind: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _axis(group: Any, axis: _nexus_axes.Axis, after: str) -> None:
    _value(group, axis.name, axis.value, axis.units)
    group[axis.name].attrs.update({"transformation_type": axis.kind, "vector": axis.vector, "depends_on": after})


def _value(group: Any, name: str, value: Any, units: str) -> None:
    group[name] = value
    group[name].attrs["units"] = units
