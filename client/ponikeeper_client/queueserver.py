"""The plans of the client for bluesky-queueserver: all arguments and results are JSON, or names of devices.

Import them in the startup script of the worker. The queue checks a request by their annotations, which
also say which texts are names of devices. They omit all that cannot be expressed as JSON (images, a
catalog, arrays), and pyFAI-calib2, because a worker has no user.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from bluesky.protocols import Movable, Readable
from bluesky.utils import Msg

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.pyfai_values import plain_values
from ponikeeper_client import plans
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import Start

Plan = Generator[Msg, Any, Any]

_NOMINAL = tuple(field.name for field in fields(plans.Nominal))


def calibrate(
    detectors: Sequence[Readable],
    calibs: Sequence[Readable] | None = None,
    *,
    calibrant: str,
    wavelength: float | None = None,
    wavelength_sigma: float | None = None,
    method: Literal["auto", "poni"] = "auto",
    start: str | dict[str, Any] | None = None,
    num: int = 1,
    dark: Literal["take"] | None = None,
    mask: str | None = None,
    part: bool = False,
    label: str | None = None,
    config_det: bool = True,
    shutter: Movable | None = None,
    shutter_open: float | str = 1,
    shutter_closed: float | str = 0,
    key: str | None = None,
    output_dir: str = "calibrations",
    md: dict[str, Any] | None = None,
) -> Plan:
    """Expose a powder standard, find the geometry of each detector, and activate it.

    Parameters
    ----------
    detectors
        To expose, all in one run.
    calibs
        The calibration of each, such as pe1.calib; if omitted, the one component of that kind that each has.
    calibrant
        The standard in the beam: pyFAI's name, or a .D file.
    wavelength
        In m; if omitted, the metadata bt_wavelength (angstrom), that of the active geometry, or the linked energy.
    wavelength_sigma
        Relative standard deviation of the wavelength; if omitted, that in the configuration of the IOC (0.005).
    method
        "auto" fits; "poni" uses the geometry of start.
    start
        Where to begin. If omitted: the active geometry. A PONI file as the worker sees it, a nominal
        distance (m), {"dist": 0.25, "detector": "Perkin"}, or all ten values of a geometry; "blind", or a detector
        without a distance, if that is unknown.
    num
        Number of exposures, which are averaged.
    dark
        "take" takes one with the shutter closed.
    mask
        A file as the worker sees it; nonzero is masked.
    part
        Whether a geometry is accepted that the image determines only in a part of the detector.
    label
        Name of the revision, such as near.
    config_det
        Whether the geometry is activated; otherwise it is only found and written to files.
    shutter
        Opened for the exposure, and always closed at the end.
    shutter_open, shutter_closed
        The values to which it is set.
    key
        Data key of the images, where a detector has several.
    output_dir
        For image, PONI and picture; on the worker's host.
    md
        Further metadata of the run.

    Returns
    -------
    dict of str to dict
        By the detector's name: revision, serial, status, status_reason, residual_px, poni, warnings.

    Raises
    ------
    CalibrationError
        For at least one detector no geometry was activated; the message says why.
    """
    opened = None if shutter is None else plans.Shutter(shutter, shutter_open, shutter_closed)
    results = yield from plans.calibrate(
        _devices(detectors), None if calibs is None else _calibrations(calibs), calibrant=calibrant,
        wavelength=wavelength, wavelength_sigma=wavelength_sigma, method=method, start=start_from(start), num=num,
        dark=dark, mask=mask, part=part, label=label, config_det=config_det, shutter=opened, key=key,
        output_dir=output_dir, md=md,
    )  # fmt: skip
    return {name: _as_json(result) for name, result in results.items()}


def calibrate_travel(
    detectors: Sequence[Readable],
    motors: Sequence[Movable],
    positions: list[dict[str, float]] | list[float] | dict[str, float] | dict[str, dict[str, float]],
    calibs: Sequence[Readable] | None = None,
    *,
    links: list[str] | None = None,
    axis: int | dict[str, int] | None = None,
    nominal: bool = False,
    order: list[str] | None = None,
    ranges: dict[str, list[float]] | None = None,
    motor_sigma: dict[str, float] | None = None,
    scale_sigma: dict[str, float] | None = None,
    calibrant: str,
    wavelength: float | None = None,
    wavelength_sigma: float | None = None,
    start: str | dict[str, Any] | list[Any] | None = None,
    num: int = 1,
    dark: Literal["take"] | None = None,
    mask: str | None = None,
    part: bool = False,
    label: str | None = None,
    shutter: Movable | None = None,
    shutter_open: float | str = 1,
    shutter_closed: float | str = 0,
    key: str | None = None,
    output_dir: str = "calibrations",
    timeout: float = 30.0,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Calibrate detectors at several positions, and activate the model of each: a geometry at every position.

    Parameters
    ----------
    detectors
        To expose.
    motors
        The motor that moves them; of several also give links.
    positions
        Where to calibrate: [300, 500, 700], or by labels of the calibrations, {"near": 300, "far": 700}; of several
        motors each is {"z": 300, "tth": 10}.
    calibs
        The calibration of each detector, such as pe1.calib; if omitted, the one component of that kind that each has.
    links
        Names of the links that the motors move, in their order.
    axis
        Lab axis of an arm, 1 (up), 2 (horizontal) or 3 (beam), negative for left-handed; of several by their links.
    nominal
        Whether the axes of arms are as designed.
    order
        All links from the floor to the detector; if omitted, arms before stages.
    ranges
        Declared ranges of links: {"tth": [0, 40]}.
    motor_sigma
        Standard deviation of the position of a link, in its units.
    scale_sigma
        Relative standard deviation of the scale of a motor; if omitted, as the IOC is configured.
    calibrant
        The standard in the beam: pyFAI's name, or a .D file.
    wavelength
        In m; if omitted, as for calibrate.
    wavelength_sigma
        Relative standard deviation of the wavelength; if omitted, that in the configuration of the IOC (0.005).
    start
        Where the fit at the first position begins, as for calibrate, or a list, one for each position. Where none is
        given: the active geometry where it applies, what the calibrations before predict, or nothing.
    num
        Number of exposures, which are averaged.
    dark
        "take" takes one with the shutter closed.
    mask
        A file as the worker sees it; nonzero is masked.
    part
        Whether a geometry is accepted that the image determines only in a part of the detector.
    label
        Name of the model, such as travel.
    shutter
        Opened for the exposures, and always closed at the end.
    shutter_open, shutter_closed
        The values to which it is set.
    key
        Data key of the images, where a detector has several.
    output_dir
        For image, PONI and picture; on the worker's host.
    timeout
        How long to wait until the links are at rest (s).
    md
        Further metadata of the runs.

    Returns
    -------
    dict of str to dict
        By the detector's name: revision and serial of the model, status, status_reason, warnings, and calibrations, a
        list of what calibrate returns.

    Raises
    ------
    CalibrationError
        The message says which positions are missing, and what to type to go on.
    """
    moved = _devices(motors)
    if links is not None and len(links) != len(moved):
        raise CalibrationError(f"{len(moved)} motors and {len(links)} links: expected one for each")
    if links is None and len(moved) != 1:
        raise CalibrationError(f"{len(moved)} motors are given: expected one, or links=[...], the name of each link")
    opened = None if shutter is None else plans.Shutter(shutter, shutter_open, shutter_closed)
    begin = [start_from(each) for each in start] if isinstance(start, list) else start_from(start)
    results = yield from plans.calibrate_travel(
        _devices(detectors), moved[0] if links is None else dict(zip(links, moved, strict=True)), positions,
        None if calibs is None else _calibrations(calibs), axis=axis, nominal=nominal, order=order or (),
        ranges={link: _pair(link, each) for link, each in (ranges or {}).items()}, motor_sigma=motor_sigma,
        scale_sigma=scale_sigma, label=label, start=begin, timeout=timeout, md=md, calibrant=calibrant,
        wavelength=wavelength, wavelength_sigma=wavelength_sigma, num=num, dark=dark, mask=mask, part=part,
        shutter=opened, key=key, output_dir=output_dir,
    )  # fmt: skip
    return {name: _travel_as_json(result) for name, result in results.items()}


def at_positions(
    detectors: Sequence[Readable],
    motor: Movable,
    positions: dict[str, float] | list[str],
    num: int = 1,
    one_run: bool = False,
    timeout: float = 30.0,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Move to one position after the other, wait until the geometry of that position is active, and measure.

    Parameters
    ----------
    detectors
        To expose.
    motor
        The motor that moves them; its readback is one of the linked PVs.
    positions
        Labels of revisions, ["near", "far"]: where these were calibrated; or positions by name,
        {"near": 200.0, "far": 1000.0}.
    num
        How many exposures at each.
    one_run
        Whether to take one run with a stream for each position, else one run each.
    timeout
        How long to wait for a valid geometry (s).
    md
        Metadata; each run also has the name of its position.

    Returns
    -------
    list of str
        The uids of the runs.

    Raises
    ------
    CalibrationError
        At a position no geometry became valid in time.
    """
    measuring = plans.at_positions(
        _devices(detectors), _devices([motor])[0], positions, num=num, one_run=one_run, timeout=timeout, md=md
    )
    return list((yield from measuring))


def arrive(
    detectors: Sequence[Readable],
    position: str | float,
    motor: Movable | None = None,
    timeout: float = 30.0,
) -> Plan:
    """Move detectors to a position, and wait until the geometry applies there.

    Parameters
    ----------
    detectors
        To move.
    position
        The label of a revision, "near": where it was calibrated; or a number, in the motor's units.
    motor
        The motor that moves them; its readback is one of the linked PVs. If omitted, the component of the detector of
        which this is so.
    timeout
        How long to wait for a valid geometry (s).

    Returns
    -------
    float
        Where the motor was moved.

    Raises
    ------
    CalibrationError
        The label means no revision with a position, or no geometry became valid in time.
    """
    moving = None if motor is None else _devices([motor])[0]
    return (yield from plans.arrive(_devices(detectors), position, moving, timeout=timeout))


def start_from(start: str | Mapping[str, Any] | None) -> Start | None:
    """Convert JSON to the start of a fit.

    Parameters
    ----------
    start
        Path of a PONI file, ``"blind"``, the values of a `Nominal`, those of a `Geometry`, or None.

    Returns
    -------
    str, Nominal, Geometry or None
        As `ponikeeper_client.calibrate` accepts it.

    Raises
    ------
    CalibrationError
        `start` is none of these.
    GeometryError
        It is a geometry with invalid values.
    """
    if start is None or isinstance(start, str):
        return start
    if "poni1" in start:
        return Geometry.parse(plain_values(start) if "poni_version" in start else start)
    if not start or not isinstance(start.get("dist", 0), (int, float)) or not start.keys() <= set(_NOMINAL):
        raise CalibrationError(
            f"start={dict(start)!r} is no start of a fit: expected what is known, of {', '.join(_NOMINAL)} (a nominal "
            'distance in m); or "blind"; or all ten values of a geometry'
        )
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in start.items()}
    return plans.Nominal(**values)


def _devices(devices: Sequence[Any]) -> list[Any]:
    """Check that each name was that of a device: the queue leaves others as text."""
    unknown = [each for each in devices if isinstance(each, str)]
    if unknown:
        raise CalibrationError(f"{', '.join(unknown)}: no device of that name is among those that the queue allows")
    return list(devices)


def _calibrations(components: Sequence[Any]) -> list[CalibrationData]:
    others = [device.name for device in _devices(components) if not isinstance(device, CalibrationData)]
    if others:
        raise CalibrationError(f"{', '.join(others)} is no calibration: expected the component of each, pe1.calib")
    return list(components)


def _pair(link: str, values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2:
        raise CalibrationError(f"ranges: {link} has {list(values)}, expected the lowest and the highest value")
    return (values[0], values[1])


def _travel_as_json(result: plans.CalibratedTravel) -> dict[str, Any]:
    return {
        "revision": result.revision,
        "serial": result.serial,
        "status": result.status,
        "status_reason": result.status_reason,
        "warnings": list(result.warnings),
        "calibrations": [_as_json(each) for each in result.calibrations],
    }


def _as_json(result: plans.Calibrated) -> dict[str, Any]:
    """Convert a result to plain values: the queue returns only JSON."""
    return {
        "revision": result.revision,
        "serial": result.serial,
        "status": result.status,
        "status_reason": result.status_reason,
        "residual_px": result.fit.provenance().get("residual_px"),
        "poni": str(result.files.poni),
        "warnings": list(result.warnings),
    }
