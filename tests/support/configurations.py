"""Configuration files and a PONI file as texts, for tests that write files of their own."""

MINIMAL = """
[ioc]
prefix = "IOC:"
[[detector]]
prefix = ""
"""

TWO_DETECTORS = """
[ioc]
prefix = "XF:28ID1-CT{IOC:Calib}"
state_dir = "/var/lib/ponikeeper"

[[detector]]
prefix = "XF:28ID1-ES{Det:PE1}Calib:"
title = "Near/far <1> & Söhne"

[[detector]]
prefix = "XF:28ID1-ES{Det:PE2}Calib:"
"""

PONI = """poni_version: 2
Detector: Perkin
Detector_config: {"pixel1": 0.0002, "pixel2": 0.0002}
Distance: 0.25
Poni1: 0.2
Poni2: 0.2
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 1.6e-11
"""


def in_detector(line: str) -> str:
    """Return the minimal configuration with a line more in its detector."""
    return MINIMAL.replace("[[detector]]", f"[[detector]]\n{line}")
