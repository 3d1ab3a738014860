"""The geometry of one detector: pyFAI's names, units and signs; limits; derived values.

A `Geometry` is checked when it is constructed, so that every instance is complete and valid. The limits and
the messages come from `PARAMETERS`, from which the PV contract takes its units, limits and texts too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, cast

from ponikeeper.errors import GeometryError
from ponikeeper.geometry.parameters import DEFAULTS, HC_KEV_ANGSTROM, NAMES, PARAMETERS, REQUIRED, Limits, Units
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import json_literal
from ponikeeper.text.suggestions import MAX_NAMES, suggestion

MAX_DETECTOR_BYTES = 38
"""A CA string holds 39 bytes; a full one was probably cut by its client."""

DEFAULT_ORIENTATION = 3
"""Default orientation of pyFAI, and the only one for which Fit2D values are defined."""

_CONFIG_DEPTH = strictjson.MAX_DEPTH // 2
"""Nesting allowed in a configuration, so that every text that contains it can still be parsed."""

_CONFIG_KEYS = ("orientation", "max_shape", "sensor", "parallax")


@dataclass(frozen=True, slots=True)
class Fit2D:
    """The same geometry in the convention of Fit2D (orientation 3 only).

    Parameters
    ----------
    direct_dist
        Distance from the sample to the detector along the direct beam (mm); pyFAI's ``directDist``.
    beam_x, beam_y
        Position of the direct beam on the detector (px), along axis 2 (fast) and axis 1 (slow); pyFAI's
        ``centerX`` and ``centerY``.
    tilt
        Angle between the detector's normal and the beam (deg), 0 to less than 90.
    tilt_plane
        Direction of the tilt (deg), -180 to 180; 0 without a tilt. pyFAI's ``tiltPlanRotation``.
    """

    direct_dist: float
    beam_x: float
    beam_y: float
    tilt: float
    tilt_plane: float


@dataclass(frozen=True, slots=True)
class Geometry:
    """A calibrated geometry as pyFAI defines it: complete, valid and immutable.

    Parameters
    ----------
    dist, poni1, poni2
        Distance to the point of normal incidence, and its position on the detector (m).
    rot1, rot2, rot3
        Rotations of the detector (rad).
    pixel1, pixel2
        Pixel size along axis 1 (slow, y) and axis 2 (fast, x) (m).
    wavelength
        Wavelength of the beam (m).
    detector
        pyFAI's name of the detector, ASCII, at most 38 bytes.
    detector_config
        Further settings of a PONI: ``orientation``, ``max_shape``, ``sensor`` and ``parallax``; JSON values,
        made immutable (arrays as tuples). Never the pixel sizes.

    Raises
    ------
    GeometryError
        With every problem of the values.
    """

    dist: float
    poni1: float
    poni2: float
    rot1: float
    rot2: float
    rot3: float
    pixel1: float
    pixel2: float
    wavelength: float
    detector: str
    detector_config: Mapping[str, object] = field(default_factory=dict[str, object], hash=False)  # mappings have none

    def __post_init__(self) -> None:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        problems = _value_problems(values, None)
        if problems:
            raise GeometryError(problems)
        self._set(values)

    def __reduce__(self) -> tuple[object, ...]:  # a frozen mapping can be neither copied nor pickled by itself
        return type(self).parse, (self.as_dict(),)

    @classmethod
    def parse(cls, values: Mapping[str, object], limits: Limits | None = None) -> "Geometry":
        """Build a geometry from named values, as a request or a file has them.

        Parameters
        ----------
        values
            The ten values and, optionally, ``detector_config``. A value that older records lack gets its default.
        limits
            Tighter limits of one detector.

        Returns
        -------
        Geometry
            The checked geometry.

        Raises
        ------
        GeometryError
            With every unknown, missing and invalid value.
        """
        problems = unknown_names(values)
        missing = [name for name in REQUIRED if name not in values]
        if missing:
            problems.append(f"incomplete: {', '.join(missing)} missing, expected all of {' '.join(REQUIRED)}")
        problems += _value_problems(values, limits)
        if problems:
            raise GeometryError(problems)
        geometry = cls.__new__(cls)  # __init__ would check the values a second time
        geometry._set({"detector_config": {}, **DEFAULTS, **values})
        return geometry

    def as_dict(self) -> dict[str, object]:
        """Return the eleven values as plain JSON types.

        Returns
        -------
        dict
            The values by name in the order of the parameters, in m and rad; `parse` builds the geometry again.
        """
        return {name: strictjson.plain(getattr(self, name)) for name in (*NAMES, "detector_config")}

    def as_stored(self) -> dict[str, object]:
        """Return the values that a revision stores, and its checksum covers: without those that are the default.

        Returns
        -------
        dict
            As `as_dict`. A record that is older than a parameter keeps its form and its checksum.
        """
        return {name: value for name, value in self.as_dict().items() if DEFAULTS.get(name) != value}

    def _set(self, values: Mapping[str, Any]) -> None:
        """Set all values, which were checked: numbers as floats, the configuration unchangeable."""
        for name in PARAMETERS:
            object.__setattr__(self, name, float(values[name]))
        object.__setattr__(self, "detector", values["detector"])
        config = cast("dict[str, object]", strictjson.plain(values["detector_config"]))
        if config.get("parallax") is False:  # the default: written or not, it is the same geometry
            del config["parallax"]
        object.__setattr__(self, "detector_config", _frozen(config))

    @property
    def energy(self) -> float:
        """Photon energy (keV)."""
        return HC_KEV_ANGSTROM / self.wavelength_angstrom

    @property
    def wavelength_angstrom(self) -> float:
        """Wavelength (angstrom)."""
        return self.wavelength * 1e10

    @property
    def orientation(self) -> int:
        """Corner of the first pixel, 1 to 4; pyFAI's default is 3."""
        return cast("int", self.detector_config.get("orientation", DEFAULT_ORIENTATION))

    @property
    def fit2d(self) -> Fit2D | None:
        """The geometry in the Fit2D convention; None where undefined (orientation not 3, tilt of 90 degrees or more).

        Source: the conversion of ``pyFAI.geometry.fit2d.convert_to_Fit2d``.
        """
        cos_tilt = math.cos(self.rot1) * math.cos(self.rot2)
        if self.orientation != DEFAULT_ORIENTATION or cos_tilt < 1e-9:
            return None
        sin_tilt = math.sqrt(1.0 - cos_tilt * cos_tilt)
        cos_plane, sin_plane = 1.0, 0.0
        if sin_tilt > 0:
            cos_plane = max(-1.0, min(1.0, -math.cos(self.rot2) * math.sin(self.rot1) / sin_tilt))
            sin_plane = math.sin(self.rot2) / sin_tilt
        offset = self.dist * sin_tilt / cos_tilt
        return Fit2D(
            direct_dist=1e3 * self.dist / cos_tilt,
            beam_x=(self.poni2 + offset * cos_plane) / self.pixel2,
            beam_y=(self.poni1 + offset * sin_plane) / self.pixel1,
            tilt=math.degrees(math.acos(min(1.0, cos_tilt))),
            tilt_plane=math.copysign(math.degrees(math.acos(cos_plane)), sin_plane if sin_plane < 0 else 1.0),
        )


def unknown_names(values: Mapping[str, object]) -> list[str]:
    """Return a message for each key that is not a value of a geometry, with the one that was probably meant.

    Parameters
    ----------
    values
        Values by name.

    Returns
    -------
    list of str
        Empty where all names are known.
    """
    known = (*NAMES, "detector_config")
    unknown = [name for name in values if name not in known]
    problems = [
        f"unknown value {json_literal(name)}{suggestion(str(name).lower(), known)}: expected {' '.join(known)}"
        for name in unknown[:MAX_NAMES]
    ]
    if len(unknown) > MAX_NAMES:
        problems.append(f"{len(unknown) - MAX_NAMES} more unknown values")
    return problems


def value_problem(name: str, value: object, limits: Limits | None = None) -> str | None:
    """Check one of the eleven values.

    Parameters
    ----------
    name
        Name of the value.
    value
        Any object.
    limits
        Tighter limits of one detector.

    Returns
    -------
    str or None
        What is wrong with the value; None if nothing is.
    """
    return next(iter(_value_problems({name: value}, limits)), None)


def pixel_units(name: str, values: Mapping[str, object]) -> Units:
    """Return the pixels of a detector as a unit in which a PONI may have been typed.

    Parameters
    ----------
    name
        Name of a value; only ``poni1`` and ``poni2`` are measured in pixels.
    values
        Values by name, among them the pixel sizes (m) if they are known.

    Returns
    -------
    tuple
        Empty if no pixel size is known.
    """
    size = values.get(name.replace("poni", "pixel")) if name.startswith("poni") else None
    try:
        return (("pixel", float(size)),) if isinstance(size, float | int) else ()
    except OverflowError:  # a whole number with hundreds of digits
        return ()


def _value_problems(values: Mapping[str, object], limits: Limits | None) -> list[str]:
    problems = [
        parameter.problem(values[name], limits, pixel_units(name, values))
        for name, parameter in PARAMETERS.items()
        if name in values
    ]
    if "detector" in values:
        problems.append(_detector_problem(values["detector"]))
    if "detector_config" in values:
        problems += _config_problems(values["detector_config"])
    return [problem for problem in problems if problem is not None]


def _detector_problem(name: object) -> str | None:
    expected = "expected pyFAI's name of the detector, such as Perkin or Pilatus1M"
    if not isinstance(name, str):
        return f"detector {json_literal(name)} is not a string: {expected}"
    if not name or name != name.strip() or not (name.isascii() and name.isprintable()):
        return f"detector {json_literal(name)} is empty, padded or not printable ASCII: {expected}"
    if len(name) > MAX_DETECTOR_BYTES:
        return (
            f"detector {json_literal(name)} has {len(name)} bytes, at most {MAX_DETECTOR_BYTES} fit "
            f"(a name that fills its PV was probably cut by its client): {expected}"
        )
    return None


def _config_problems(config: object) -> list[str]:
    if not isinstance(config, Mapping):
        return [f'detector_config {json_literal(config)} is not a JSON object: expected such as {{"orientation": 3}}']
    items = cast("Mapping[str, object]", config)
    problems: list[str] = []
    for key in items:
        name = str(key).lower()  # pyFAI ignores the case of these keys: one of them must not hide another
        if name in ("pixel1", "pixel2"):
            problems.append(f"detector_config holds {key}: give it as the value {name} of the geometry")
        elif name in _CONFIG_KEYS and key != name:
            problems.append(f"detector_config holds {key}: write it as {name}")
    if "orientation" in items and (type(items["orientation"]) is not int or not 1 <= items["orientation"] <= 4):
        problems.append(
            f"detector_config.orientation {json_literal(items['orientation'])} is not allowed: expected 1, 2, 3 or 4"
        )
    if "parallax" in items and not isinstance(items["parallax"], bool):
        problems.append(
            f"detector_config.parallax {json_literal(items['parallax'])} is not allowed: expected true or false"
        )
    try:
        strictjson.canonical(strictjson.plain(items, _CONFIG_DEPTH))
    except (TypeError, ValueError) as error:
        problems.append(f"detector_config is not valid JSON: {error}")
    return problems


def _frozen(value: object) -> object:
    """Make plain JSON values immutable, nested ones too."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return MappingProxyType({key: _frozen(item) for key, item in items})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in cast("list[object]", value))
    return value
