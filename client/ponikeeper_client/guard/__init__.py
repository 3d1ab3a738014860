"""The preprocessor `calibration_guard`, which keeps the record of running runs correct, for one plan or for all."""

from ponikeeper_client.guard._preprocessor import calibration_guard

__all__ = ["calibration_guard"]
