"""The detector, with its calibration."""

from ponikeeper_client import CalibrationData, CalibrationMixin


class PerkinElmer(CalibrationMixin, SimulatedPerkinElmer):
    calib = Cpt(CalibrationData, "Calib:", kind="config")


pe1c = PerkinElmer("XF:28ID1-ES{Det:PE1}", name="pe1c")
pe1c.wait_for_connection(timeout=30)
