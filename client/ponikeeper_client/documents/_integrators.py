"""Build pyFAI's integrator for a recorded geometry; pyFAI is loaded when a detector is built."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ponikeeper.errors import MissingExtraError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import NO_FILES, Files, is_file_detector, named_files
from ponikeeper_client.documents._file_detectors import detector_of_files
from ponikeeper_client.documents._files import set_mask, verify_files
from ponikeeper_client.documents._reading import applied_geometry, image_shape, recorded

_OF_PYFAI = ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")
"""The arguments of pyFAI's integrator that are values of a geometry."""


def azimuthal_integrator(
    source: Geometry | Mapping[str, Any],
    *,
    detector: str | None = None,
    calib: str = "calib",
    shape: Sequence[int] | None = None,
    any_status: bool = False,
    any_files: bool = False,
) -> Any:
    """Build pyFAI's integrator; the nine numbers of the geometry are passed on bit-exact.

    Parameters
    ----------
    source
        A geometry, or an event descriptor that has one.
    detector, calib
        As for `geometry`.
    shape
        Shape (y, x) of the images in pixels. If given, the detector is built with that shape;
        otherwise with pyFAI's own shape, which must be that of the images in the descriptor.
    any_status
        Use the geometry of a descriptor also where it did not apply.
    any_files
        Use the files that the geometry names as they are now. A descriptor has the SHA-256 of each, which is
        verified otherwise; a `Geometry` alone has none, and is refused if it names files.

    Returns
    -------
    pyFAI.integrator.azimuthal.AzimuthalIntegrator
        Lengths in m, rotations in rad.

    Raises
    ------
    NoGeometryError, NotValidError
        As `geometry`.
    ShapeError
        The detector does not have the shape of the images, or pyFAI does not know the detector
        and the shape is not known either.
    GeometryFileError
        A file of the detector or its mask is missing, or has another content than at the calibration.
    MissingExtraError
        pyFAI is not installed.
    """
    if isinstance(source, Geometry):
        return integrator_of(source, shape=shape, any_files=any_files)
    calibration = recorded(source, detector, calib)
    images = None if shape is not None else image_shape(source, calibration.detector)
    geometry = applied_geometry(calibration, any_status)
    return integrator_of(geometry, images, shape, files=calibration.files(), any_files=any_files)


def integrator_of(
    geometry: Geometry,
    images: tuple[int, int] | None = None,
    shape: Sequence[int] | None = None,
    *,
    files: Files = NO_FILES,
    any_files: bool = False,
) -> Any:
    """Build the integrator of a geometry.

    Parameters
    ----------
    geometry
        The geometry.
    images
        Shape (y, x) of the images in pixels, if it is known: the detector must have this shape.
    shape
        As for `azimuthal_integrator`.
    files
        Path and SHA-256 of the files of the geometry; its mask is set, in addition to the detector's own gaps.
    any_files
        Do not compare the files with their SHA-256.

    Returns
    -------
    pyFAI.integrator.azimuthal.AzimuthalIntegrator
        Lengths in m, rotations in rad.

    Raises
    ------
    ShapeError, GeometryFileError, MissingExtraError
        As `azimuthal_integrator`.
    """
    try:
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pyFAI") from error
    if not any_files:
        verify_files(geometry, files)
    required = None if shape is None else _image_shape(shape)
    numbers = {name: getattr(geometry, name) for name in _OF_PYFAI}
    detector = _pyfai_detector(geometry, images, required)
    set_mask(detector, files)
    integrator = AzimuthalIntegrator(**numbers, detector=detector)
    if geometry.detector_config.get("parallax"):
        integrator.enable_parallax()
    return integrator


def _image_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return a shape (y, x) as two integers; raise `ShapeError` if it is not one."""
    if len(shape) != 2 or min(shape) < 1:
        raise ShapeError(f"shape={tuple(shape)} is no shape of an image: expected two positive numbers, (y, x)")
    return int(shape[0]), int(shape[1])


def _pyfai_detector(geometry: Geometry, images: tuple[int, int] | None, required: tuple[int, int] | None) -> Any:
    """Build the detector: pyFAI's if its shape fits, otherwise a plain one of the required shape."""
    from pyFAI.detectors import detector_factory

    config = cast("dict[str, Any]", geometry.as_dict()["detector_config"])
    config.pop("parallax", None)
    config |= {"pixel1": geometry.pixel1, "pixel2": geometry.pixel2}
    if named_files(geometry.detector_config) or is_file_detector(geometry.detector):
        return detector_of_files(geometry, config, required or images)
    built = _from_factory(geometry, config, required is not None)
    expected = required or images
    pyfai_shape = None if built is None else built.shape
    if built is not None and (expected is None or (pyfai_shape is not None and tuple(pyfai_shape) == expected)):
        return _with_pixels(built, geometry)
    if required is None and pyfai_shape is not None:
        raise ShapeError(
            f"the images have the shape {images}, but {geometry.detector} with pixels of {geometry.pixel1!r} m x "
            f"{geometry.pixel2!r} m has {tuple(pyfai_shape)} in pyFAI: the geometry is for another binning, or the "
            f"detector is not that one; if the pixels are right, give shape={images}"
        )
    if expected is None:
        raise ShapeError(
            f"pyFAI does not know the detector {geometry.detector}: give the shape of the images, shape=(y, x)"
        )
    if built is not None and not built.IS_FLAT:
        raise ShapeError(
            f"{geometry.detector} is not flat and has {pyfai_shape} pixels: a flat one of shape {expected} "
            "cannot stand for it"
        )
    return _with_pixels(detector_factory("Detector", {**config, "max_shape": list(expected)}), geometry)


def _from_factory(geometry: Geometry, config: Mapping[str, Any], replaceable: bool) -> Any:
    """Build pyFAI's own detector; None if pyFAI has none of that name, or fails and `replaceable`."""
    from pyFAI.detectors import Detector, detector_factory

    if geometry.detector.lower().replace(" ", "_") not in Detector.registry:  # else the factory would look for a file
        return None
    try:
        return detector_factory(geometry.detector, dict(config))
    except Exception as error:  # some classes divide by a binning of 0, where the pixels are far from theirs
        if replaceable:
            return None
        raise ShapeError(
            f"pyFAI cannot make {geometry.detector} with pixels of {geometry.pixel1!r} m x {geometry.pixel2!r} m "
            f"({error}): if they are right, give the shape of the images, shape=(y, x)"
        ) from error


def _with_pixels(built: Any, geometry: Geometry) -> Any:
    if (built.pixel1, built.pixel2) != (geometry.pixel1, geometry.pixel2):
        raise ShapeError(
            f"pyFAI makes {geometry.detector} with pixels of {built.pixel1!r} m x {built.pixel2!r} m, recorded are "
            f"{geometry.pixel1!r} m x {geometry.pixel2!r} m: give the shape of the images, shape=(y, x)"
        )
    return built
