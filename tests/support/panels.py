"""Detectors without hardware for runs: an image of the right shape, and a calibration as configuration."""

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, Signal

from ponikeeper_client.device import CalibrationData, CalibrationMixin

SHAPE = (2048, 2048)
"""Of the images, which are never made: a bluesky document tells of them only."""


class _Image(Signal):
    def describe(self):
        return {self.name: {"source": "SIM:image", "dtype": "array", "shape": [1, *SHAPE], "dtype_numpy": "<u2"}}


class FlatPanel(CalibrationMixin, Device):
    """A detector whose class knows of its calibration."""

    image = Cpt(_Image, value=np.zeros((1, 1), np.uint16), kind="normal")
    gain = Cpt(Signal, value=1, kind="config")
    calib = Cpt(CalibrationData, "Calib:", kind="config")


class AnyPanel(Device):
    """A detector of any class, with no prefix."""

    image = Cpt(_Image, value=np.zeros((1, 1), np.uint16), kind="normal")


def with_calibration(cls, prefix):
    """Return a detector class with a calibration at a full PV prefix, as a session's script does."""
    return type(f"{cls.__name__}WithCalibration", (cls,), {"calib": Cpt(CalibrationData, prefix, kind="config")})
