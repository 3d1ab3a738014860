"""`calibrate` and `at_positions` for bluesky-queueserver: all that they take and give is JSON, or the name of a device.

Import them in the startup script of the worker. Their annotations are what the queue checks a
request by, and how it knows which texts name devices. Left out is what has no JSON: images, a
catalog, arrays; and pyFAI-calib2, for nobody sits at a worker.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from bluesky.protocols import Movable, Readable
from bluesky.utils import Msg

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry
from ponikeeper_client import plans
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import Start

Plan = Generator[Msg, Any, Any]

_NOMINAL = tuple(field.name for field in fields(plans.Nominal))


def calibrate(
    detectors: Sequence[Readable],
    calibs: Sequence[Readable] | None = None,
    calibrant: str = "Ni",
    wavelength: float | None = None,
    method: Literal["auto", "poni"] = "auto",
    start: str | dict[str, Any] | None = None,
    num: int = 1,
    dark: Literal["take"] | None = None,
    mask: str | None = None,
    label: str | None = None,
    config_det: bool = True,
    shutter: Movable | None = None,
    shutter_open: float | str = 1,
    shutter_closed: float | str = 0,
    key: str | None = None,
    output_dir: str = "calibrations",
    md: dict[str, Any] | None = None,
) -> Plan:
    """Expose a powder standard, find the geometry of each detector, and put it in force.

    Parameters
    ----------
    detectors
        To expose, all in one run.
    calibs
        The calibration of each, such as pe1.calib; left out, the one component of that kind that each has.
    calibrant
        The standard: pyFAI's name, or a .D file.
    wavelength
        In m; left out, the metadata bt_wavelength (angstrom), that in force, or the linked energy.
    method
        "auto" fits; "poni" takes the geometry of start.
    start
        Where to begin. Left out: what is in force. A PONI file as the worker sees it, a nominal
        distance (m), {"dist": 0.25, "detector": "Perkin"}, or all ten values of a geometry.
    num
        Number of exposures, which are averaged.
    dark
        "take" takes one with the shutter closed.
    mask
        A file as the worker sees it; nonzero is masked.
    label
        Name of the revision, such as near.
    config_det
        Whether the geometry is put in force; else it is found and written only.
    shutter
        Is opened for the exposure, and closed whatever happens.
    shutter_open, shutter_closed
        What it is set to.
    key
        Data key of the images, where a detector has several.
    output_dir
        For image, PONI and picture; on the worker's host.
    md
        Further metadata of the run.

    Returns
    -------
    dict of str to dict
        By the detector's name: revision, serial, residual_px, poni, warnings.

    Raises
    ------
    CalibrationError
        For at least one detector nothing was put in force; says why.
    """
    opened = None if shutter is None else plans.Shutter(shutter, shutter_open, shutter_closed)
    found = yield from plans.calibrate(
        _devices(detectors), None if calibs is None else _calibrations(calibs), calibrant=calibrant,
        wavelength=wavelength, method=method, start=start_from(start), num=num, dark=dark, mask=mask, label=label,
        config_det=config_det, shutter=opened, key=key, output_dir=output_dir, md=md,
    )  # fmt: skip
    return {name: _told(one) for name, one in found.items()}


def at_positions(
    detectors: Sequence[Readable],
    motor: Movable,
    positions: dict[str, float],
    num: int = 1,
    one_run: bool = False,
    timeout: float = 30.0,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Go to one position after the other, wait until the geometry that holds there is in force, and measure.

    Parameters
    ----------
    detectors
        To expose.
    motor
        Moves them; its readback is one of the linked PVs.
    positions
        Where to go, by name: {"near": 200.0, "far": 1000.0}.
    num
        How many exposures at each.
    one_run
        Whether to take one run with a stream for each position, else one run each.
    timeout
        How long to wait for a geometry to hold (s).
    md
        Metadata; each run's position is the name, too.

    Returns
    -------
    list of str
        The uids of the runs.

    Raises
    ------
    CalibrationError
        No geometry came to hold at a position in time.
    """
    measuring = plans.at_positions(
        _devices(detectors), _devices([motor])[0], positions, num=num, one_run=one_run, timeout=timeout, md=md
    )
    return list((yield from measuring))


def start_from(start: str | Mapping[str, Any] | None) -> Start | None:
    """Make of JSON where a fit begins.

    Parameters
    ----------
    start
        Path of a PONI file, the values of a `Nominal`, those of a `Geometry`, or None.

    Raises
    ------
    CalibrationError
        It is none of these.
    GeometryError
        It is a geometry with bad values.
    """
    if start is None or isinstance(start, str):
        return start
    if "poni1" in start:
        return Geometry.parse(start)
    if not isinstance(start.get("dist"), (int, float)) or not start.keys() <= set(_NOMINAL):
        raise CalibrationError(
            f"start={dict(start)!r} is no place to begin: expected a nominal distance (m), of {', '.join(_NOMINAL)}, "
            "dist at least; or all ten values of a geometry"
        )
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in start.items()}
    return plans.Nominal(**values)


def _devices(found: Sequence[Any]) -> list[Any]:
    """See that each name was one of a device: the queue leaves others as they are."""
    unknown = [each for each in found if isinstance(each, str)]
    if unknown:
        raise CalibrationError(f"{', '.join(unknown)}: no device of that name is among those that the queue allows")
    return list(found)


def _calibrations(found: Sequence[Any]) -> list[CalibrationData]:
    others = [device.name for device in _devices(found) if not isinstance(device, CalibrationData)]
    if others:
        raise CalibrationError(f"{', '.join(others)} is no calibration: expected the component of each, pe1.calib")
    return list(found)


def _told(one: plans.Calibrated) -> dict[str, Any]:
    """Tell a result in plain values: what the queue gives on has to be JSON."""
    return {
        "revision": one.revision,
        "serial": one.serial,
        "residual_px": one.fit.provenance().get("residual_px"),
        "poni": str(one.files.poni),
        "warnings": list(one.warnings),
    }
