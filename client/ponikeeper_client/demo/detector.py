"""A simulated area detector: its image depends on its true geometry."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Device, DeviceStatus, Signal

from ponikeeper.geometry import Geometry
from ponikeeper_client.demo.nickel import image
from ponikeeper_client.device import CalibrationData, CalibrationMixin

SHAPE = (1024, 1024)


class _Image(Signal):
    def describe(self) -> dict[str, dict[str, Any]]:
        """Describe the image as Tiled needs it."""
        return {self.name: {"source": f"SIM:{self.name}", "dtype": "array", "shape": list(SHAPE), "dtype_numpy": "<u2"}}


class SimulatedDetector(CalibrationMixin, Device):
    """A flat panel that measures nickel powder.

    `move_to` moves it; `calib` records the active geometry of the IOC, right or wrong.
    """

    image = Cpt(_Image, value=np.zeros(SHAPE, np.uint16), kind="normal")
    calib = Cpt(CalibrationData, "Calib:", kind="config")

    _truth: Geometry | None = None
    _exposures = 0

    def move_to(self, truth: Geometry) -> None:
        """Move the detector to a geometry."""
        self._truth = truth

    def trigger(self) -> DeviceStatus:
        """Simulate an image."""
        assert self._truth is not None, "the detector has no geometry: call move_to first"
        self._exposures += 1
        frame: NDArray[np.uint16] = image(self._truth, SHAPE, seed=self._exposures)
        self.image.put(frame)
        status = DeviceStatus(self)
        status.set_finished()
        return status
