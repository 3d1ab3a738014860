"""ponikeeper keeps the calibrated geometry of area detectors: what runs on the IOC host."""

__version__ = "0.1.0"
