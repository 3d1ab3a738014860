"""ponikeeper keeps the calibrated geometry of area detectors: the part that runs on the IOC host."""

__version__ = "0.1.0"
