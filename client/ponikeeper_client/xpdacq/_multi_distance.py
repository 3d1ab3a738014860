"""xpdAcq's measurement at several distances, on the geometries that the IOC keeps for each of them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bluesky import plan_stubs as bps

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry, poni
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import read_poni
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.plans.arrival import TIMEOUT, move_and_follow, move_and_settle
from ponikeeper_client.xpdacq._basic_plans import XrayBasicPlans, committed
from ponikeeper_client.xpdacq._exposing import Plan

Source = Geometry | str | Path | Any
"""A geometry, a PONI file, or an integrator of pyFAI's."""


class MultiDistPlans(XrayBasicPlans):
    """bluesky's plans with a shutter, for a detector that is measured at several distances.

    ``plans.count([detector], per_shot=plans.take_reading)`` takes, in each shot, an event of each
    distance in a stream of its own. The plans are guarded: no event has another distance's geometry.

    Parameters
    ----------
    shutter, shutter_open, shutter_close, db
        As for `XrayBasicPlans`.
    detector
        Whose distance changes.
    calib_cpt
        Its calibration.
    motor
        Moves it; its readback is one of the linked PVs.

    Attributes
    ----------
    positions, streams, geometries
        The distances, in their order; a geometry is None where the IOC has it already.
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
        """Give any plan the shutter, and the guard."""
        return calibration_guard(super().shutter_wrapper(plan))

    def calib_dist(self, position: float, stream: str, output_dir: str = "xpdacq_calib", **kwargs: Any) -> Plan:
        """Calibrate at a position, and add it to the distances.

        Parameters
        ----------
        position
            Where the motor goes.
        stream
            Name of the distance: of its stream, and the label of its revision.
        output_dir, **kwargs
            As for `calibrate`.

        Returns
        -------
        dict of str to Calibrated
            By the detector's name.

        Raises
        ------
        CalibrationError
            Nothing was put in force; the distance is not added.
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
            Where the motor goes.
        stream
            Name of its stream.
        geometry
            Is committed when the detector is there the first time; left out, it is the one that was
            put in force there.

        Raises
        ------
        ValueError
            There is a distance of that name.
        CalibrationError
            The file cannot be read to one whole geometry.
        """
        if stream in self.streams:
            raise ValueError(f"there is a distance {stream} already: the names are {', '.join(self.streams)}")
        self.positions.append(position)
        self.streams.append(stream)
        self.geometries.append(None if geometry is None else _geometry(geometry))

    def pop_dist(self, index: int) -> tuple[float, str, Geometry | None]:
        """Take a distance out, and give its position, stream and geometry."""
        return self.positions.pop(index), self.streams.pop(index), self.geometries.pop(index)

    def clear_dists(self) -> None:
        """Forget all distances; what the IOC has of them stays."""
        self.positions, self.streams, self.geometries = [], [], []

    def take_reading(self, devices: Sequence[Any], *, timeout: float = TIMEOUT) -> Plan:
        """Take an event at each distance, in its stream, with the geometry that holds there.

        Parameters
        ----------
        devices
            To trigger and read.
        timeout
            How long to wait at each for its geometry (s).

        Raises
        ------
        CalibrationError
            No distance was added, or no geometry came to hold at one of them.
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
    """Read a geometry of whatever a session has it in.

    Raises
    ------
    CalibrationError, PoniError
        It cannot be read to one whole geometry.
    """
    if isinstance(source, Geometry):
        return source
    if isinstance(source, (str, Path)):
        return read_poni(Path(source))
    from pyFAI.io.ponifile import PoniFile

    text = io.StringIO()
    PoniFile(data=source).write(text)
    return poni.read(text.getvalue())
