"""Measure at several distances, as xpdAcq does, with the geometry that the IOC has for each of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bluesky import plan_stubs as bps

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry
from ponikeeper_client._geometry_sources import geometry_of
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import read_poni
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.plans.arrival import TIMEOUT, move_and_follow, move_and_settle
from ponikeeper_client.xpdacq._basic_plans import XrayBasicPlans, committed
from ponikeeper_client.xpdacq._exposing import Plan

Source = Geometry | str | Path | Any
"""A geometry, a PONI file, or an integrator of pyFAI's."""


class MultiDistPlans(XrayBasicPlans):
    """bluesky's plans with a shutter, for a detector at several distances.

    ``plans.count([detector], per_shot=plans.take_reading)`` takes, in each shot, one event per distance,
    each in its own stream. The plans are guarded: no event has the geometry of another distance.

    Parameters
    ----------
    shutter, shutter_open, shutter_close, db
        As for `XrayBasicPlans`.
    detector
        The detector that moves.
    calib_cpt
        Its calibration.
    motor
        The motor that moves it; its readback is one of the linked PVs.

    Attributes
    ----------
    positions, streams, geometries
        The distances, in their order; a geometry is None if the IOC has it already.
    """

    def __init__(
        self,
        shutter: Any,
        shutter_open: Any,
        shutter_close: Any,
        db: Any,
        detector: Any,
        calib_cpt: CalibrationData,
        motor: Any,
    ) -> None:
        super().__init__(shutter, shutter_open, shutter_close, db)
        self.detector, self.calib_cpt, self.motor = detector, calib_cpt, motor
        self.positions: list[float] = []
        self.streams: list[str] = []
        self.geometries: list[Geometry | None] = []

    def shutter_wrapper(self, plan: Any) -> Plan:
        """Wrap a plan with the shutter and the guard.

        Parameters
        ----------
        plan
            Any plan.

        Returns
        -------
        generator
            The wrapped plan.
        """
        return calibration_guard(super().shutter_wrapper(plan))

    def calib_dist(self, position: float, stream: str, output_dir: str = "xpdacq_calib", **kwargs: Any) -> Plan:
        """Calibrate at a position, and add it to the distances.

        Parameters
        ----------
        position
            Position of the motor, in its units.
        stream
            Name of the distance: the stream, and the label of the revision.
        output_dir, **kwargs
            As for `calibrate`.

        Returns
        -------
        dict of str to Calibrated
            By the detector's name.

        Raises
        ------
        CalibrationError
            No geometry was activated; the distance is not added.
        """
        yield from move_and_settle(self.motor, position, [self.calib_cpt])
        options = {"label": stream, "output_dir": output_dir, **kwargs}
        results = yield from self.calibrate([self.detector], [self.calib_cpt], **options)
        self.add_dist(position, stream)
        return results

    def add_dist(self, position: float, stream: str, geometry: Source | None = None) -> None:
        """Add a distance.

        Parameters
        ----------
        position
            Position of the motor, in its units.
        stream
            Name of its stream.
        geometry
            Committed when the detector is there for the first time. If omitted, the revision that was
            active there before is used.

        Raises
        ------
        ValueError
            There is already a distance of that name.
        CalibrationError
            The file does not contain one whole geometry.
        """
        if stream in self.streams:
            raise ValueError(f"there is a distance {stream} already: the names are {', '.join(self.streams)}")
        self.positions.append(position)
        self.streams.append(stream)
        self.geometries.append(None if geometry is None else _geometry(geometry))

    def pop_dist(self, index: int) -> tuple[float, str, Geometry | None]:
        """Remove a distance.

        Parameters
        ----------
        index
            Its index in `positions`.

        Returns
        -------
        tuple
            Its position, stream and geometry.
        """
        return self.positions.pop(index), self.streams.pop(index), self.geometries.pop(index)

    def clear_dists(self) -> None:
        """Remove all distances; the IOC keeps their revisions."""
        self.positions, self.streams, self.geometries = [], [], []

    def take_reading(self, devices: Sequence[Any], *, timeout: float = TIMEOUT) -> Plan:
        """Record an event at each distance, in its stream, with the geometry that is valid there.

        Parameters
        ----------
        devices
            To trigger and read.
        timeout
            How long to wait at each distance for its geometry (s).

        Returns
        -------
        generator
            A plan.

        Raises
        ------
        CalibrationError
            No distance was added, or at one of them no geometry became valid in time.
        """
        if not self.positions:
            raise CalibrationError("there are no distances: add some with calib_dist or add_dist")
        for index, (position, stream) in enumerate(zip(self.positions, self.streams, strict=True)):
            if (geometry := self.geometries[index]) is not None:
                yield from move_and_settle(self.motor, position, [self.calib_cpt], timeout)
                yield from committed(self.calib_cpt, geometry, stream, here=True)
                self.geometries[index] = None
            yield from move_and_follow(self.motor, position, [self.calib_cpt], timeout)
            yield from bps.trigger_and_read(list(devices), name=stream)


def _geometry(source: Source) -> Geometry:
    """Read a geometry from an object, a PONI file or an integrator.

    Raises
    ------
    CalibrationError, PoniError
        It is not one whole geometry.
    """
    return read_poni(Path(source)) if isinstance(source, (str, Path)) else geometry_of(source)
