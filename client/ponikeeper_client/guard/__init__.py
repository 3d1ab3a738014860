"""What keeps the record of a run true while it goes on: `calibration_guard`, for one plan or for all of a session."""

from ponikeeper_client.guard._preprocessor import calibration_guard

__all__ = ["calibration_guard"]
