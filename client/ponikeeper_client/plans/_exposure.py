"""The run of a calibration: the detectors are exposed at once, and the positions of their links are recorded."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import AssumedErrors, Status
from ponikeeper_client._motion import Links, LinkWatch, moves
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.plans._wavelength import SourcedWavelength, choose_wavelength, wavelength_candidates

Plan = Generator[Msg, Any, Any]

_REST_TIMEOUT = 30.0
"""How long to wait until the links are at rest (s)."""

_POLL_PERIOD = 0.1


@dataclass(frozen=True, slots=True)
class Shutter:
    """A shutter that plans open and close.

    Parameters
    ----------
    device
        Any settable ophyd object.
    open, closed
        The values to which it is set.
    """

    device: Any
    open: Any
    closed: Any

    def opened(self) -> Iterator[Msg]:
        """Open the shutter, and wait until it is open.

        Yields
        ------
        Msg
            The messages of the plan.
        """
        return bps.mv(self.device, self.open)

    def shut(self) -> Iterator[Msg]:
        """Close the shutter, and wait until it is closed.

        Yields
        ------
        Msg
            The messages of the plan.
        """
        return bps.mv(self.device, self.closed)


@dataclass(frozen=True, slots=True)
class ExposurePosition:
    """The position of the links during an exposure.

    Parameters
    ----------
    values
        By name, in the units of the links; or ``"unknown"``.
    reason
        Why the position is unknown; empty if it is known.
    """

    values: dict[str, float] | Literal["unknown"]
    reason: str = ""


def position_during(history: Sequence[Links]) -> ExposurePosition:
    """Compute the position of the links during an exposure. Pure.

    Parameters
    ----------
    history
        The states of the links at the beginning, at each change, and at the end.

    Returns
    -------
    ExposurePosition
        Unknown if a link was disconnected or in error.

    Raises
    ------
    CalibrationError
        A link moved, so the image belongs to no position.
    """
    if moved := moves(history):
        raise CalibrationError(f"{text}: the image belongs to no position; calibrate again" for text in moved.values())
    reasons = dict.fromkeys(why for links in history for link in links if (why := link.unknown_because))
    if reasons:
        return ExposurePosition("unknown", "; ".join(reasons))
    return ExposurePosition({link.name: link.value for link in history[-1] if link.value is not None})


def wait_until_at_rest(calibs: Sequence[CalibrationData]) -> Plan:
    """Wait until no link moves: what a plan has just moved may still be settling.

    Parameters
    ----------
    calibs
        The calibrations whose links are checked.

    Raises
    ------
    CalibrationError
        A link is still moving after 30 s.
    """
    deadline = time.monotonic() + _REST_TIMEOUT
    while moving := [name for calib in calibs for name in _moving_links(calib)]:
        if time.monotonic() > deadline:
            raise CalibrationError(
                f"{moving[0]} is still moving after {_REST_TIMEOUT:g} s: wait until it is at rest, and calibrate again"
            )
        yield from bps.sleep(_POLL_PERIOD)


def _moving_links(calib: CalibrationData) -> list[str]:
    """Return the names of the links that move; the status says so before the links are published."""
    moving = [f"{link.name} ({link.pv})" for link in calib.read_links() if link.moving]
    if not moving and calib.read_snapshot().status == Status.MOVING.name:
        return [f"a link of {calib.name}"]
    return moving


@dataclass(frozen=True, slots=True)
class Exposure:
    """How to expose.

    Parameters
    ----------
    num
        Number of exposures.
    shutter
        Opened before the exposures, and closed after them in any case; None if there is none.
    take_dark
        Whether to take as many dark frames before them, in the stream ``dark``.
    """

    num: int
    shutter: Shutter | None
    take_dark: bool


@dataclass(frozen=True, slots=True)
class ExposedDetector:
    """A detector with what is known about its exposure.

    Parameters
    ----------
    detector, calib
        The device and its calibration.
    active
        The geometry that was active before; None if there was none.
    watch
        Records the states of the links during the exposure.
    wavelength
        The wavelength of the calibration, with its source.
    assumed
        The errors that a fit of this detector assumes.
    """

    detector: Any
    calib: CalibrationData
    active: Geometry | None
    watch: LinkWatch
    wavelength: SourcedWavelength
    assumed: AssumedErrors

    def position(self) -> ExposurePosition:
        """Return the position of the links during the exposure; raises as `position_during`."""
        return position_during(self.watch.seen)


def expose(
    pairs: Sequence[tuple[Any, CalibrationData]],
    exposure: Exposure,
    wavelength: float | None,
    start: Geometry | None,
    metadata: Mapping[str, Any],
    before: Callable[["ExposedDetector"], None],
) -> Plan:
    """Expose all detectors of a calibration in one run.

    The wavelength is chosen when the run is open, because its start document has the RunEngine's metadata, and
    before anything is exposed.

    Parameters
    ----------
    pairs
        Detectors and their calibrations.
    exposure
        How to expose.
    wavelength
        The one that the user has given (m).
    start
        A geometry to start from that the user has given.
    metadata
        Metadata of the run.
    before
        Called with each detector before anything is exposed; an error ends the run.

    Returns
    -------
    uid : str
        Uid of the run.
    exposed : list of ExposedDetector
        In the order of `pairs`.

    Raises
    ------
    WavelengthError
        The wavelength is not known, or its sources contradict each other.
    CalibrationError
        A link does not come to rest.
    """
    start_documents: list[Mapping[str, Any]] = []
    exposed: list[ExposedDetector] = []
    detectors = [detector for detector, _ in pairs]

    def inside() -> Plan:
        document = start_documents[0]
        exposed.extend(_prepare(detector, calib, wavelength, document, start) for detector, calib in pairs)
        for one in exposed:
            before(one)
        yield from wait_until_at_rest([calib for _, calib in pairs])
        yield from _take_frames(detectors, exposure, [one.watch for one in exposed])

    run = bpp.stage_wrapper(bpp.run_wrapper(inside(), md=dict(metadata)), detectors)
    callbacks = {"start": [lambda _, document: start_documents.append(document)]}
    uid = yield from bpp.subs_wrapper(run, callbacks)
    return uid, exposed


def _prepare(
    detector: Any, calib: CalibrationData, wavelength: float | None, document: Mapping[str, Any], start: Geometry | None
) -> ExposedDetector:
    """Read the active geometry of a detector and choose its wavelength."""
    snapshot = calib.read_snapshot()
    active = snapshot.geometry
    candidates = wavelength_candidates(wavelength, document, active, calib.read_links(), start)
    return ExposedDetector(detector, calib, active, LinkWatch(calib), choose_wavelength(candidates), snapshot.assumed)


def _take_frames(detectors: Sequence[Any], exposure: Exposure, watches: Sequence[LinkWatch]) -> Plan:
    """Expose the detectors, dark frames first; the shutter is closed and the watches are stopped in any case."""

    def take() -> Plan:
        if exposure.take_dark and exposure.shutter is not None:
            yield from exposure.shutter.shut()
            for _ in range(exposure.num):
                yield from bps.trigger_and_read(detectors, name="dark")
        if exposure.shutter is not None:
            yield from exposure.shutter.opened()
        for watch in watches:
            watch.start()
        for _ in range(exposure.num):
            yield from bps.one_shot(detectors)
        for watch in watches:
            watch.stop()

    def clean_up() -> Plan:
        for watch in watches:
            watch.stop()
        if exposure.shutter is not None:
            yield from exposure.shutter.shut()
        yield from bps.null()

    return (yield from bpp.finalize_wrapper(take(), clean_up))
