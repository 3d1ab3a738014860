"""The run of a calibration: all detectors exposed at once, and where each of them stood meanwhile."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from ponikeeper.geometry import Geometry
from ponikeeper_client._motion import LinkWatch
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.plans.positions import Position, position_of, rested
from ponikeeper_client.plans.shutter import Shutter
from ponikeeper_client.plans.wavelengths import Statement, choose, statements

Plan = Generator[Msg, Any, Any]


@dataclass(frozen=True, slots=True)
class Exposure:
    """How to expose.

    Parameters
    ----------
    num
        How often.
    shutter
        Is opened for it, and closed whatever happens.
    take_dark
        Whether to take as many dark frames before it, in the stream ``dark``.
    """

    num: int
    shutter: Shutter | None
    take_dark: bool


@dataclass(frozen=True, slots=True)
class Exposed:
    """One detector, as its image was taken.

    Parameters
    ----------
    in_force
        The geometry before; None where there was none.
    watch
        Remembers where the links stood.
    wavelength
        To calibrate with, and who says so.
    """

    detector: Any
    calib: CalibrationData
    in_force: Geometry | None
    watch: LinkWatch
    wavelength: Statement

    def position(self) -> Position:
        """Tell where the links stood meanwhile; raises as `position_of`."""
        return position_of(self.watch.seen)


def expose(
    pairs: Sequence[tuple[Any, CalibrationData]],
    how: Exposure,
    wavelength: float | None,
    start: Geometry | None,
    metadata: Mapping[str, Any],
) -> Plan:
    """Take the run; gives its uid and what was exposed.

    The wavelength is settled when the run is open, for its start document has the RunEngine's
    metadata, and before anything is exposed.

    Raises
    ------
    WavelengthError
        It is not known, or what is said of it contradicts itself.
    """
    begun: list[Mapping[str, Any]] = []
    exposed: list[Exposed] = []
    detectors = [detector for detector, _ in pairs]

    def inside() -> Plan:
        exposed.extend(_settled(detector, calib, wavelength, begun[0], start) for detector, calib in pairs)
        yield from rested([calib for _, calib in pairs])
        yield from _frames(detectors, how, [one.watch for one in exposed])

    run = bpp.stage_wrapper(bpp.run_wrapper(inside(), md=dict(metadata)), detectors)
    heard = {"start": [lambda _, document: begun.append(document)]}
    uid = yield from bpp.subs_wrapper(run, heard)
    return uid, exposed


def _settled(
    detector: Any, calib: CalibrationData, wavelength: float | None, document: Mapping[str, Any], start: Geometry | None
) -> Exposed:
    in_force = calib.read_snapshot().geometry
    stated = choose(statements(wavelength, document, in_force, calib.read_links(), start))
    return Exposed(detector, calib, in_force, LinkWatch(calib), stated)


def _frames(detectors: Sequence[Any], how: Exposure, watches: Sequence[LinkWatch]) -> Plan:
    """Take the frames, dark ones first; shutter and watches end whatever happens."""

    def exposing() -> Plan:
        if how.take_dark and how.shutter is not None:
            yield from how.shutter.shut()
            for _ in range(how.num):
                yield from bps.trigger_and_read(detectors, name="dark")
        if how.shutter is not None:
            yield from how.shutter.opened()
        for watch in watches:
            watch.start()
        for _ in range(how.num):
            yield from bps.one_shot(detectors)
        for watch in watches:
            watch.stop()

    def ending() -> Plan:
        for watch in watches:
            watch.stop()
        if how.shutter is not None:
            yield from how.shutter.shut()
        yield from bps.null()

    return (yield from bpp.finalize_wrapper(exposing(), ending))
