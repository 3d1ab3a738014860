"""What `set` of a device accepts as a geometry: a `Geometry`, values, a PONI file or text, objects of pyFAI."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ponikeeper.errors import PoniError
from ponikeeper.geometry import Geometry, poni

_LATTICE = 65
"""How many evenly spread rows and columns of a detector are compared with its configuration."""

_SAME = 1e-12
"""How far two places of the same pixel may be apart (m)."""

GeometrySource = Geometry | Mapping[str, Any] | str | Path | Any
"""A whole geometry, or values by name: see `values_of`."""


def values_of(source: GeometrySource) -> Mapping[str, Any]:
    """Return the values of a geometry, or those that a mapping has.

    Parameters
    ----------
    source
        A `Geometry`; a mapping of some values by name (m, rad); the path of a PONI file; a PONI text, which has several
        lines; an integrator or a `PoniFile` of pyFAI.

    Returns
    -------
    Mapping
        Values by name (m, rad): all of them, unless the source is a mapping.

    Raises
    ------
    PoniError
        The file or the text is not one whole geometry, or the detector of the object has pixels elsewhere than its
        configuration says: a distortion that is in no file would be lost.
    TypeError
        It is none of these.
    """
    if isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source)
    return geometry_of(source).as_dict()


def geometry_of(source: Geometry | str | Path | Any) -> Geometry:
    """Return a whole geometry; parameters and errors as `values_of`, without mappings."""
    if isinstance(source, Geometry):
        return source
    if isinstance(source, str) and len(source.splitlines()) > 1:
        return poni.read(source)
    if isinstance(source, (str, Path)):
        return _read_file(Path(source))
    if any(kind.__module__.partition(".")[0] == "pyFAI" for kind in type(source).__mro__):
        from pyFAI.io.ponifile import PoniFile

        text, written = io.StringIO(), PoniFile(data=source)
        written.write(text)
        geometry = poni.read(text.getvalue())
        _require_described(written.detector, PoniFile(data=written.as_dict()).detector)
        return geometry
    raise TypeError(
        f"{type(source).__name__} is no geometry: expected a Geometry, a mapping of values, the path of a PONI file, a "
        "PONI text, or an integrator or PoniFile of pyFAI"
    )


def _require_described(detector: Any, described: Any) -> None:
    """Check that the pixels of pyFAI's detector are where those of the detector of its configuration are."""
    if detector.shape is None or (detector.uniform_pixel and detector.IS_FLAT):
        return
    import numpy as np

    rows, columns = (np.unique(np.linspace(0, size - 1, _LATTICE).round()) for size in detector.shape)
    slow, fast = (each.ravel() for each in np.meshgrid(rows, columns, indexing="ij"))
    places, expected = (each.calc_cartesian_positions(slow, fast) for each in (detector, described))
    axes = ([0.0 if axis is None else axis for axis in pair] for pair in zip(places, expected, strict=True))
    if not all(np.allclose(*pair, rtol=0.0, atol=_SAME) for pair in axes):
        raise PoniError(
            f"the pixels of this {detector.name} are not where its configuration says: a distortion that was set in "
            "memory would be lost; save the detector, detector.save('pe1.h5'), and use NexusDetector('pe1.h5')"
        )


def _read_file(path: Path) -> Geometry:
    try:
        return poni.read(path.read_bytes())
    except OSError as error:
        raise PoniError(f"{path}: {error.strerror}: expected a PONI file, or a PONI text of several lines") from error
    except PoniError as error:
        raise PoniError(f"{path}: {problem}" for problem in error.problems) from None
