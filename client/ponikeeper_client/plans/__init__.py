"""Plans for a bluesky session: `calibrate` and `at_positions`, and the types of their arguments and results."""

from ponikeeper_client.fit.start import Nominal
from ponikeeper_client.plans._exposure import Shutter
from ponikeeper_client.plans._result import Calibrated
from ponikeeper_client.plans.at_positions import at_positions
from ponikeeper_client.plans.calibrate import calibrate

__all__ = ["Calibrated", "Nominal", "Shutter", "at_positions", "calibrate"]
