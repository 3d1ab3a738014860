"""What a page takes for granted in its Python: a RunEngine, a detector that sees nickel, its motor, a Tiled catalog.

The distance of the detector is the reading of the motor `det_z` plus 34.5 mm.
"""

import re
from functools import cache, partial

import numpy as np
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from ophyd import Component as Cpt
from ophyd import Device, DeviceStatus, Kind, Signal

from areadetector import Camera
from calibrating import Recorder
from ponikeeper.config import load
from ponikeeper.geometry import Geometry, poni
from ponikeeper.site.areadetector import hdf5_layout, nd_attributes
from ponikeeper_client.demo.nickel import image
from stages import Stage

SHAPE = (1024, 1024)

NEAR = Geometry(
    dist=0.2345, poni1=0.2021, poni2=0.2011, rot1=0.0022, rot2=0.0014, rot3=0.0, pixel1=4e-4, pixel2=4e-4,
    wavelength=1.663e-11, detector="Perkin", detector_config={"orientation": 3},
)  # fmt: skip
DARK = 10
"""Counts of a dark image."""

OFFSET = 34.5
"""Distance from the sample when `det_z` reads 0 (mm)."""


def truth(place):
    """Return the true geometry where `det_z` reads `place` (mm)."""
    return Geometry.parse({**NEAR.as_dict(), "dist": (place + OFFSET) / 1000})


@cache
def _image(place):
    return image(truth(place), SHAPE, seed=1)


class _Frame(Signal):
    def describe(self):
        return {self.name: {"source": "SIM:frame", "dtype": "array", "shape": list(SHAPE), "dtype_numpy": "<u2"}}


class NickelPanel(Device):
    """The area detector of the pages, without its calibration."""

    image = Cpt(_Frame, value=np.zeros(SHAPE, np.uint16), kind="normal")

    where = 200.0
    """What `det_z` reads; the session keeps it."""

    shutter = None
    """Closed where it reads 0."""

    def trigger(self):
        is_dark = type(self).shutter is not None and type(self).shutter.get() == 0
        self.image.put(np.full(SHAPE, DARK, np.uint16) if is_dark else _image(type(self).where) + np.uint16(DARK))
        status = DeviceStatus(self)
        status.set_finished()
        return status


def write_files(folder):
    """Write the files that the pages use: PONI files, an image of nickel, an alarm tree of the site."""
    import fabio.tifimage

    for name, place in {"near": 200.0, "far": 1000.0}.items():
        (folder / f"{name}.poni").write_text(poni.write(truth(place)))
    (folder / "accelerator.xml").write_text('<config name="Accelerator"><component name="Vacuum"/></config>')
    image = _image(200.0)
    fabio.tifimage.TifImage(data=image).write(str(folder / "Ni.tiff"))
    np.save(folder / "mask.npy", np.zeros(image.shape, np.int8))


def write_image_file(folder, prefix, change):
    """Write a file of areaDetector, image.h5, whose geometry changes after the third of five frames."""
    (detector,) = (each for each in load(folder / "28id1.toml").detector if each.prefix == prefix)
    with Camera(nd_attributes(detector), hdf5_layout(detector), SHAPE) as camera:
        camera.driver.until()
        with camera.writing(folder / "image.h5"):
            camera.expose(3)
            header = camera.value("PKHeader")
            change()
            camera.driver.until(lambda: camera.value("PKHeader") != header)
            camera.expose(2)


def namespace(here, site, folder, page):
    """Make the namespace of one page."""
    text = page.read_text(encoding="utf-8")
    devices = []

    class YourAreaDetector(NickelPanel):
        def __init__(self, prefix, **kwargs):
            super().__init__(prefix, **kwargs)
            devices.append(self)
            self.wait_for_connection(timeout=20)

    det_z = Stage(site.motors.name, name="det_z")
    det_z.wait_for_connection(timeout=20)
    det_z.readback.subscribe(lambda value, **_: setattr(YourAreaDetector, "where", float(value)), run=True)
    YourAreaDetector.shutter = Recorder(name="fast_shutter")
    run_engine = RunEngine({}, context_managers=[])
    names = {
        "RE": run_engine, "bp": bp, "bps": bps, "Cpt": Cpt, "Kind": Kind, "det_z": det_z,
        "YourAreaDetector": YourAreaDetector, "fast_shutter": YourAreaDetector.shutter,
    }  # fmt: skip
    for line in re.findall(r"`(from [\w.]+ import [^`]+)`", text):  # what a page says in its text is typed too
        exec(line, names)
    devices.append(det_z)
    if re.search(r"\bcatalog\b", text):
        from bluesky_tiled_plugins import TiledWriter

        catalog = site.tiled()[1]
        run_engine.subscribe(TiledWriter(catalog))
        names["catalog"] = catalog
    if re.search(r"\bdetector\b", text) and "class Detector(YourAreaDetector)" not in text:
        from ponikeeper_client.device import CalibrationData, CalibrationMixin

        class Detector(CalibrationMixin, YourAreaDetector):
            calib = Cpt(CalibrationData, "Calib:", kind="config")

        names["Detector"] = Detector
        names["detector"] = Detector(here("XF:28ID1-ES{Det:PE1}"), name="area_detector")
    names["_close"] = partial(_close, devices)
    return names


def _close(devices):
    for device in devices:
        device.destroy()
