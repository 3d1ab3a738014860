"""Real images: commit a published PONI, take a run, and find the peaks at their angles."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ophyd import Component as Cpt
from ophyd import Device, Signal

from catalogs import tables_made_here
from live import TIMEOUT
from peaks import fcc, two_theta_residuals
from ponikeeper.geometry import poni
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.documents import azimuthal_integrator

NI = fcc(3.524e-10)
CEO2 = fcc(5.4113e-10)


class _Frame(Signal):
    def describe(self):
        image = self.get()
        return {
            self.name: {
                "source": f"SIM:{self.name}",
                "dtype": "array",
                "shape": list(image.shape),
                "dtype_numpy": image.dtype.str,
            }
        }


class RealImageDetector(Device):
    """Delivers an image that a real detector took."""

    image = Cpt(_Frame, kind="normal")
    calib = Cpt(CalibrationData, "", kind="config")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    from ponikeeper_client.demo.session import Session

    with tables_made_here():
        session = Session(tmp_path_factory.mktemp("tiled"))
    yield session
    session.close()


def _read(path: Path) -> np.ndarray:
    import fabio

    with fabio.open(path) as file:
        return np.array(file.data, dtype=float)


def _residuals_after_a_run(ioc, session, file, image, mask, spacings) -> np.ndarray:
    """Put the PONI, count, and measure with what Tiled gives back of both geometry and image."""
    command = [sys.executable, "-m", "ponikeeper", "put", ioc.prefix, str(file)]
    subprocess.run(command, check=True, timeout=TIMEOUT, capture_output=True)
    detector = RealImageDetector(ioc.prefix, name="area_detector")
    detector.wait_for_connection(timeout=10)
    detector.image.put(image.astype(np.float32))
    uid = session.count(detector)
    recorded = session.geometry(uid)
    assert recorded == poni.read(file.read_bytes())
    integrator = azimuthal_integrator(session.descriptor(uid))
    found = two_theta_residuals(integrator, session.image(uid, "area_detector_image"), mask, spacings)
    detector.destroy()
    return found


def _report(name: str, found: np.ndarray, manifest: str) -> float:
    """Print the residual with that of the manifest, and return its rms (deg)."""
    rms = float(np.sqrt((found[:, 1] ** 2).mean()))
    rings = len(set(found[:, 0]))
    print(f"\n{name}: 2theta rms {rms:.4f} deg over {len(found)} points on {rings} rings; the manifest: {manifest}")
    return rms


def test_nickel_peaks_of_the_published_geometry_are_where_they_belong(ioc, session, real_data):
    """Light minus dark of the XPD flat panel; the manifest gives 0.0092 deg for the published PONI."""
    folder = real_data / "xpd_Ni"
    light, dark = _read(folder / "Ni_light_frame.tiff"), _read(folder / "Ni_dark_frame.tiff")
    mask = (dark == 0) | (dark == 65535) | (light == 65535)
    found = _residuals_after_a_run(ioc, session, folder / "calibration_for_detector.poni", light - dark, mask, NI)
    assert len(found) > 400
    assert _report("Ni", found, "0.0092 deg over 719 points on 20 rings") < 0.0120


def test_ceria_peaks_of_a_version_1_poni_are_where_they_belong(ioc, session, real_data):
    """The PONI of 2015 is valid for the flipped image; the manifest gives 0.0074 deg for it."""
    folder = real_data / "dioptas_CeO2"
    image = np.flipud(_read(folder / "CeO2_Pilatus1M.tif"))
    found = _residuals_after_a_run(ioc, session, folder / "CeO2_Pilatus1M.poni", image, image < 0, CEO2)
    assert len(found) > 300
    assert _report("CeO2", found, "0.0074 deg") < 0.0100
