"""Models as files of pyFAI's goniometer, "Goniometer calibration v2"."""

import json
import keyword
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ponikeeper.errors import ConfigError, MissingExtraError, ModelError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.kinematics import Chain, Model, Rotate, Span, Translate
from ponikeeper.geometry.kinematics.chain import FREE
from ponikeeper.geometry.kinematics.place import value_slopes
from ponikeeper.geometry.kinematics.rigid import Pose, Values
from ponikeeper.text import strictjson
from ponikeeper_client.documents import integrator_of
from ponikeeper_client.model.expressions import expressions
from ponikeeper_client.model.members import ASSUMED_PLACE, ASSUMED_TILT, Floats, panel_of, values_of
from ponikeeper_client.model.motion import factor_of

_CONTENT = "Goniometer calibration v2"
_OWN = "ponikeeper"
"""The key of the model itself, which pyFAI ignores: so it is imported with its uncertainty."""

_EXACT = 1e-12
"""Largest difference of an imported model from the formulas of the file (m, rad)."""

_SAMPLES = 41
_RESERVED = {"pi", "hc", "q"}


def export(model: Model) -> dict[str, object]:
    """Return the JSON object of pyFAI's goniometer.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    dict
        `pyFAI.goniometer.Goniometer.sload` reads it. It has the model, too, which `read` finds.

    Raises
    ------
    MissingExtraError
        pyFAI is not installed.
    """
    names = _position_names([joint.link for joint in model.joints])
    formulas = expressions(model, names)
    kind = "ExtendedTransformation" if "wavelength_expr" in formulas else "GeometryTransformation"
    detector = integrator_of(model.geometry).detector
    return {
        "content": _CONTENT,
        "detector": model.geometry.detector,
        "detector_config": json.loads(json.dumps(detector.get_config())),
        "wavelength": model.geometry.wavelength,
        "param": [],
        "param_names": [],
        "pos_names": list(names.values()),
        "trans_function": {"content": kind, "param_names": [], "pos_names": list(names.values()), **formulas},
        _OWN: model.as_dict(),
    }


def read(path: Path, spans: Mapping[str, tuple[float, float]], units: str | None) -> Model:
    """Read a model from a file of pyFAI's goniometer.

    Parameters
    ----------
    path
        The file.
    spans
        The range of the link in which the model holds; needed unless ponikeeper wrote the file.
    units
        The units of the link; needed unless ponikeeper wrote the file.

    Returns
    -------
    Model
        The one of which the file was made; otherwise a stage or an arm, which says the same as the file within 1e-12,
        with an assumed uncertainty.

    Raises
    ------
    ModelError
        The file cannot be read, was changed, or is no stage and no arm.
    ConfigError
        The range or the units are missing.
    MissingExtraError
        pyFAI is not installed.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: expected a goniometer calibration of pyFAI") from error
    except ValueError as error:
        raise ModelError(f"{path}: this is not JSON: {error}") from None
    if not isinstance(values, dict) or cast("dict[str, object]", values).get("content") != _CONTENT:
        raise ModelError(f'{path}: this is no goniometer calibration of pyFAI: expected "content": "{_CONTENT}"')
    table = cast("dict[str, Any]", values)
    if _OWN in table:
        return _own(path, table)
    return _recognized(path, table, spans, units)


def _own(path: Path, values: Mapping[str, Any]) -> Model:
    """Return the model that the file has; its formulas must be those of the model."""
    model = Model.parse(values[_OWN])
    if strictjson.canonical(export(model)) != strictjson.canonical(dict(values)):
        raise ModelError(
            f"{path}: the formulas are not those of the model in the file: one of them was changed; remove the key "
            f'"{_OWN}" to import the formulas'
        )
    return model


def _recognized(
    path: Path, values: Mapping[str, Any], spans: Mapping[str, tuple[float, float]], units: str | None
) -> Model:
    try:
        from pyFAI.goniometer import Goniometer
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pyFAI") from error
    positions = values.get("pos_names") or ["pos"]
    if len(positions) != 1:
        raise ModelError(f"{path}: it has the positions {', '.join(positions)}: only one stage or arm can be imported")
    (link,) = positions
    if link not in spans or units is None:
        raise ConfigError(f"{path} has no range and no units: give --range {link}=low,high and --units deg or mm")
    try:
        goniometer = Goniometer.sload(str(path))
    except (RuntimeError, TypeError, ValueError, KeyError, SyntaxError) as error:
        raise ModelError(f"{path}: pyFAI cannot read it: {type(error).__name__}: {error}") from error

    def values_at(position: float) -> Values:
        found = goniometer.trans_function(goniometer.param, position)
        return cast("Values", tuple(float(each) for each in found[:6]))

    if "wavelength_expr" in values["trans_function"] or not goniometer.wavelength:
        raise ModelError(f"{path}: its wavelength is not fixed: only a stage or an arm can be imported")
    geometry = _geometry(goniometer, values_at(sum(spans[link]) / 2))
    return _chain_of(path, geometry, values_at, link, spans[link], units)


def _geometry(goniometer: Any, values: Values) -> Geometry:
    detector = goniometer.detector
    config = {
        name: value
        for name, value in json.loads(json.dumps(detector.get_config())).items()
        if name not in ("pixel1", "pixel2") and value is not None
    }
    dist, poni1, poni2, rot1, rot2, rot3 = values
    return Geometry(
        dist, poni1, poni2, rot1, rot2, rot3, float(detector.pixel1), float(detector.pixel2),
        float(goniometer.wavelength), type(detector).__name__, config,
    )  # fmt: skip


def _chain_of(
    path: Path, geometry: Geometry, values_at: Any, link: str, span: tuple[float, float], units: str
) -> Model:
    low, high = span
    middle = (low + high) / 2
    joint = _joint(values_at, link, units, middle, low + 0.7 * (high - low))
    chain = Chain(values_of(geometry), geometry.wavelength, {link: middle}, (joint,))
    for place in np.linspace(low, high, _SAMPLES).tolist():
        difference = np.subtract(chain.pose({link: place}).values(), values_at(place))
        difference[3:] = (difference[3:] + np.pi) % (2 * np.pi) - np.pi
        if not np.abs(difference).max() <= _EXACT:
            raise ModelError(
                f"{path}: its formulas are no straight stage and no rotation about a fixed axis: at {link} = {place:g} "
                f"the nearest one differs by {np.abs(difference).max():.1g} (m or rad)"
            )
    panel = panel_of(geometry)
    if panel is None:
        raise ModelError(f"{path}: the size of the detector {geometry.detector} is not known")
    sigma = np.array([ASSUMED_PLACE] * 3 + [ASSUMED_TILT] * 2)
    root = np.array(value_slopes(values_of(geometry), (panel[0] / 2, panel[1] / 2))).T * sigma
    lower = (root @ root.T)[np.tril_indices(5)]
    return Model(
        geometry, panel, {link: middle}, (joint,), FREE, tuple(lower.tolist()), (0.0,) * 5, 0.0, 0.0,
        {link: Span(low, high, declared=True)}, fit={"imported": path.name, "assumed": True},
    )  # fmt: skip


def _joint(values_at: Any, link: str, units: str, one: float, other: float) -> Translate | Rotate:
    """Find the motion between two positions: a displacement, or a rotation about an axis."""
    before, after = Pose.of(values_at(one)), Pose.of(values_at(other))
    turned = np.array(after.rotation) @ np.array(before.rotation).T
    axial = np.array([turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]]) / 2
    sine, travel = float(np.linalg.norm(axial)), other - one
    if sine < _EXACT:
        direction = np.subtract(after.origin, before.origin) / (travel * factor_of(link, units, "m"))
        return Translate(link, units, factor_of(link, units, "m"), cast("Any", tuple(direction.tolist())))
    axis, angle = axial / sine, math.atan2(sine, (np.trace(turned) - 1) / 2)
    about = int(np.argmax(np.abs(axis))) + 1
    sign = 1.0 if axis[about - 1] > 0 else -1.0
    first, second = about % 3, (about + 1) % 3
    return Rotate(
        link,
        units,
        sign * angle / travel,
        cast("Any", about),
        (float(sign * axis[first]), float(sign * axis[second])),
        _centre(turned, np.array(before.origin), np.array(after.origin), [first, second]),
    )


def _centre(turned: Floats, before: Floats, after: Floats, across: Sequence[int]) -> tuple[float, float]:
    """Return where the axis of a rotation passes the sample: ``(1 - A) c = t' - A t``."""
    matrix = (np.eye(3) - turned)[:, across]
    found = np.linalg.lstsq(matrix, after - turned @ before, rcond=None)[0]
    return float(found[0]), float(found[1])


def _position_names(links: Sequence[str]) -> dict[str, str]:
    """Return a name for each link that pyFAI can use."""
    usable = [
        link.isascii() and link.isidentifier() and not keyword.iskeyword(link) and link not in _RESERVED
        for link in links
    ]
    return {
        link: link if fits else f"pos{number}" for number, (link, fits) in enumerate(zip(links, usable, strict=True), 1)
    }
