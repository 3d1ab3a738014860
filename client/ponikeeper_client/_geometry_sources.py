"""What `set` of a device accepts as a geometry: a `Geometry`, values, a PONI file or text, objects of pyFAI."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ponikeeper.errors import PoniError
from ponikeeper.geometry import Geometry, poni

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
        The file or the text is not one whole geometry.
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

        text = io.StringIO()
        PoniFile(data=source).write(text)
        return poni.read(text.getvalue())
    raise TypeError(
        f"{type(source).__name__} is no geometry: expected a Geometry, a mapping of values, the path of a PONI file, a "
        "PONI text, or an integrator or PoniFile of pyFAI"
    )


def _read_file(path: Path) -> Geometry:
    try:
        return poni.read(path.read_bytes())
    except OSError as error:
        raise PoniError(f"{path}: {error.strerror}: expected a PONI file, or a PONI text of several lines") from error
    except PoniError as error:
        raise PoniError(f"{path}: {problem}" for problem in error.problems) from None
