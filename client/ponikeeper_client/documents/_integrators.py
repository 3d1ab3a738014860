"""pyFAI's integrator of a recorded geometry; pyFAI is loaded where a detector is built."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ponikeeper.errors import MissingExtraError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper_client.documents._reading import image_shape, recorded


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
    if isinstance(source, Geometry):
        return integrator_of(source, shape=shape)
    calibration = recorded(source, detector, calib)
    found = calibration.geometry()
    images = None if shape is not None else image_shape(source, calibration.detector)
    return integrator_of(found, images, shape)


def integrator_of(found: Geometry, images: tuple[int, int] | None = None, shape: Sequence[int] | None = None) -> Any:
    """Build the integrator of a geometry.

    Parameters
    ----------
    images
        Shape (y, x) that the images have, where it is known: the detector has to fit it.
    shape
        As for `azimuthal_integrator`, which see for what is raised, too.
    """
    try:
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    except ModuleNotFoundError as error:
        raise MissingExtraError("fit", error.name or "pyFAI") from error
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
