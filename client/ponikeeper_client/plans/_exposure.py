"""The run of a calibration: all detectors exposed at once, and where each of them stood meanwhile."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry
from ponikeeper_client._motion import Links, LinkWatch, moves
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.plans._wavelength import Statement, choose, statements


@dataclass(frozen=True, slots=True)
class Shutter:
    """Something that is set to be open, and set to be closed.

    Parameters
    ----------
    device
        Any settable ophyd object.
    open, closed
        What it is set to.
    """

    device: Any
    open: Any
    closed: Any

    def opened(self) -> Iterator[Msg]:
        """Open it, and wait until it is."""
        return bps.mv(self.device, self.open)

    def shut(self) -> Iterator[Msg]:
        """Close it, and wait until it is."""
        return bps.mv(self.device, self.closed)


_PATIENCE = 30.0
"""Seconds for which a motion is waited for."""

_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Position:
    """Where the links stood.

    Parameters
    ----------
    values
        By name, in the links' units; ``"unknown"`` where it cannot be told.
    why
        Why it is unknown.
    """

    values: dict[str, float] | Literal["unknown"]
    why: str = ""


def position_of(seen: Sequence[Links]) -> Position:
    """Tell where the links stood during an exposure. Pure.

    Parameters
    ----------
    seen
        Where they stood, as often as it was told: when it began, at each change, when it ended.

    Raises
    ------
    CalibrationError
        One of them moved: the image belongs to no position.
    """
    if moved := moves(seen):
        raise CalibrationError(f"{text}: the image belongs to no position; calibrate again" for text in moved.values())
    doubts = dict.fromkeys(doubt for links in seen for link in links if (doubt := link.doubt))
    if doubts:
        return Position("unknown", "; ".join(doubts))
    return Position({link.name: link.value for link in seen[-1] if link.value is not None})


def rested(calibs: Sequence[CalibrationData]) -> Generator[Any, Any, None]:
    """Wait until no link is in motion: what a plan has just moved has to settle first.

    Raises
    ------
    CalibrationError
        One moves still after 30 s.
    """
    deadline = time.monotonic() + _PATIENCE
    while moving := [link for calib in calibs for link in calib.read_links() if link.moving]:
        if time.monotonic() > deadline:
            link = moving[0]
            raise CalibrationError(
                f"{link.name} ({link.pv}) is in motion, after {_PATIENCE:g} s still: "
                "wait until it rests, and calibrate again"
            )
        yield from bps.sleep(_PAUSE)


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
