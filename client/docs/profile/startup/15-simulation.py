"""In place of the hardware: a detector that sees the rings of nickel from where its stage is.

A beamline has its own class of ophyd.areadetector here.
"""

import json

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, DeviceStatus, EpicsSignalRO, Signal

from ponikeeper.geometry import Geometry
from ponikeeper_client.demo import nickel

SHAPE = (512, 512)
"""Of the panel with a binning of 4."""


class Image(Signal):
    def describe(self):
        return {self.name: {"source": "SIM:image", "dtype": "array", "shape": list(SHAPE), "dtype_numpy": "<u2"}}


class SimulatedPerkinElmer(Device):
    """A panel on a rail that is not quite along the beam; `truth` is its geometry when it took the image."""

    image = Cpt(Image, value=np.zeros(SHAPE, np.uint16), kind="normal")
    truth = Cpt(Signal, value="", kind="normal")
    knocked = Cpt(EpicsSignalRO, "Sim:Knocked", kind="omitted")

    def true_geometry(self):
        """Return the geometry that a perfect calibration would find now."""
        z = Det_1_Z.position
        return Geometry(
            dist=(z + 34.5) / 1000, poni1=0.2021 + 3e-6 * z + self.knocked.get(), poni2=0.2011 - 2e-6 * z, rot1=0.0022,
            rot2=0.0014, rot3=0.0, pixel1=8e-4, pixel2=8e-4, wavelength=1.663e-11, detector="Perkin",
            detector_config={"orientation": 3},
        )  # fmt: skip

    def trigger(self):
        geometry = self.true_geometry()
        self.image.put(nickel.image(geometry, SHAPE))
        self.truth.put(json.dumps(geometry.as_dict()))
        status = DeviceStatus(self)
        status.set_finished()
        return status
