"""The stage of the detector."""

from ophyd import EpicsMotor

Det_1_Z = EpicsMotor("XF:28ID1-ES{Det:PE1-Ax:Z}Mtr", name="Det_1_Z")
Det_1_Z.wait_for_connection(timeout=30)
