"""A detector whose image is made once, and what the tests of `calibrate` share."""

from dataclasses import replace

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, DeviceStatus, Signal

from ponikeeper_client.device import CalibrationData, CalibrationMixin
from ponikeeper_client.documents import azimuthal_integrator

SHAPE = (1024, 1024)
SMALL = (512, 512)
"""Of the middle of that panel: a fit to it takes half the time, and sees the same rings."""


_TYPE = {"dtype": "array", "dtype_numpy": "<u2"}


class _Frame(Signal):
    def describe(self):
        return {self.name: {"source": "SIM:frame", "shape": list(self.parent.frames[0].shape), **_TYPE}}


class Panel(CalibrationMixin, Device):
    """A flat panel that shows `frames` one after the other, the last one for ever."""

    image = Cpt(_Frame, value=np.zeros(SHAPE, np.uint16), kind="normal")
    calib = Cpt(CalibrationData, "Calib:", kind="config")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.frames = [np.zeros(SHAPE, np.uint16)]
        self.exposures = 0
        self.meanwhile = None
        """Called during each exposure."""

    def trigger(self):
        self.image.put(self.frames[min(self.exposures, len(self.frames) - 1)])
        self.exposures += 1
        if self.meanwhile:
            self.meanwhile()
        status = DeviceStatus(self)
        status.set_finished()
        return status


class Recorder(Signal):
    """A shutter that records its commands; `fails` is the command that it does not carry out."""

    def __init__(self, **kwargs):
        super().__init__(value="closed", **kwargs)
        self.puts = []
        self.fails = None

    def set(self, value, **kwargs):
        self.puts.append(value)
        if value == self.fails:
            raise RuntimeError(f"the shutter does not get {value}")
        return super().set(value, **kwargs)


def small(geometry):
    """Return the geometry of the middle of a panel, which pyFAI has no name for."""
    cut = (SHAPE[0] - SMALL[0]) / 2
    poni1, poni2 = geometry.poni1 - cut * geometry.pixel1, geometry.poni2 - cut * geometry.pixel2
    config = {"orientation": 3, "max_shape": list(SMALL)}
    return replace(geometry, poni1=poni1, poni2=poni2, detector="Detector", detector_config=config)


def off_px(found, truth, shape=SHAPE):
    """Compute the distance between the rings of two geometries at every 16th pixel, rms over the detector (px)."""
    y, x = np.mgrid[: shape[0] : 16, : shape[1] : 16].astype(float)
    one, other = (azimuthal_integrator(geometry, shape=shape).tth(y, x) for geometry in (found, truth))
    return float(np.sqrt(np.mean(((one - other) * truth.dist / truth.pixel1 / np.cos(other) ** 2) ** 2)))
