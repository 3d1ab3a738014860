"""The settings with which the images of a revision are integrated: their keys, the allowed values, and texts. Pure.

They are named as the arguments of pyFAI's `integrate1d`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.text import strictjson
from ponikeeper.text.schema import Field, is_integer, is_number, object_problems

MAX_POINTS = 100_000

UNITS = ("2th_deg", "2th_rad", "q_nm^-1", "q_A^-1", "d*2_nm^-2", "d*2_A^-2", "r_mm", "r_m")
"""Units of the radial axis, by pyFAI's names."""

SPLITS = ("no", "bbox", "full")
ALGORITHMS = ("histogram", "lut", "csr", "csc")
IMPLEMENTATIONS = ("python", "cython", "opencl")

EXAMPLE: Mapping[str, object] = MappingProxyType(
    {"npt": 3000, "unit": "q_nm^-1", "method": ["bbox", "csr", "cython"], "polarization_factor": 0.99}
)
"""Settings as an error message shows them."""


_is_number = is_number()


def _is_range(value: object) -> bool:
    if not isinstance(value, list) or len(ends := cast("list[object]", value)) != 2:
        return False
    low, high = ends
    return _is_number(low) and _is_number(high) and cast("float", low) < cast("float", high)


def _is_method(value: object) -> bool:
    if not isinstance(value, list) or len(parts := cast("list[object]", value)) != 3:
        return False
    return all(part in known for part, known in zip(parts, (SPLITS, ALGORITHMS, IMPLEMENTATIONS), strict=True))


SETTINGS: Mapping[str, Field] = MappingProxyType(
    {
        "npt": Field(
            f"the number of points of the pattern, 2 to {MAX_POINTS}",
            lambda value: is_integer(2)(value) and cast("int", value) <= MAX_POINTS,
            required=True,
        ),
        "unit": Field(f"the radial unit: {', '.join(UNITS)}", lambda value: value in UNITS, required=True),
        "method": Field(
            f"[split, algorithm, implementation], of {', '.join(SPLITS)}; {', '.join(ALGORITHMS)}; "
            f"{', '.join(IMPLEMENTATIONS)}",
            _is_method,
        ),
        "polarization_factor": Field("a number, -1 to 1", is_number(-1, 1)),
        "correctSolidAngle": Field("true or false", lambda value: isinstance(value, bool)),
        "error_model": Field("poisson or azimuthal", lambda value: value in ("poisson", "azimuthal")),
        "radial_range": Field("two increasing numbers, in the radial unit", _is_range),
        "azimuth_range": Field("two increasing numbers (deg)", _is_range),
    }
)
"""The keys of the settings; those that are omitted have pyFAI's defaults."""


def integration_problems(settings: object, path: str = "") -> list[str]:
    """Check settings.

    Parameters
    ----------
    settings
        A JSON object.
    path
        Where it is nested, such as ``provenance.integration.``.

    Returns
    -------
    list of str
        Every problem; empty if there is none.
    """
    return object_problems(cast("Mapping[str, object]", settings), SETTINGS, path)


def parse_integration(text: str) -> dict[str, object]:
    """Parse settings.

    Parameters
    ----------
    text
        One JSON object.

    Returns
    -------
    dict
        The settings.

    Raises
    ------
    MessageError
        The text is no JSON object, or with every problem of its keys.
    """
    try:
        values = strictjson.loads(text)
    except ValueError as error:
        raise MessageError(f"the integration settings are not valid JSON ({error}): expected {_EXAMPLE}") from None
    if not isinstance(values, dict):
        raise MessageError(f"the integration settings are no object: expected {_EXAMPLE}")
    settings = cast("dict[str, object]", values)
    problems = integration_problems(settings)
    if problems:
        raise MessageError(problems)
    return settings


def integration_of(provenance: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the settings of a revision, from its provenance; None where it has none."""
    return cast("Mapping[str, object] | None", provenance.get("integration"))


def integration_text(settings: Mapping[str, object]) -> str:
    """Format settings in one line: ``npt 3000, unit q_nm^-1, method bbox csr cython``."""
    return ", ".join(f"{key} {_value_text(value)}" for key, value in settings.items())


def _value_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, cast("list[object]", value)))
    return strictjson.dumps(value) if isinstance(value, bool) else str(value)


_EXAMPLE = strictjson.dumps(strictjson.plain(EXAMPLE))
