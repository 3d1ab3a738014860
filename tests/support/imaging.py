"""A detector whose images are in the events, with its geometry in the configuration."""

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, Signal

from ponikeeper_client.device import CalibrationData
from speak import GEOMETRY

SHAPE = (60, 80)
VALUES = {
    **GEOMETRY, "detector": "Detector", "pixel1": 1e-3, "pixel2": 1e-3, "poni1": 0.02, "poni2": 0.05,
    "detector_config": {"max_shape": list(SHAPE), "orientation": 3},
}  # fmt: skip
"""A geometry of the detector, which is small: its images are in the documents."""


class _Frame(Signal):
    def describe(self):
        """Describe the image as an array of integers."""
        shape = list(np.shape(self.get()))
        return {self.name: {"source": self.name, "dtype": "array", "shape": shape, "dtype_numpy": "<i8"}}


class ImageDetector(Device):
    """Delivers another image with each event; `taken` has them all."""

    frame = Cpt(_Frame, kind="normal")
    calib = Cpt(CalibrationData, "", kind="config")
    frames = 1

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.taken = []

    def trigger(self):
        """Expose an image."""
        status = super().trigger()
        shape = SHAPE if self.frames == 1 else (self.frames, *SHAPE)
        self.taken.append(np.random.default_rng(len(self.taken)).integers(0, 1000, shape))
        self.frame.put(self.taken[-1].tolist())
        return status
