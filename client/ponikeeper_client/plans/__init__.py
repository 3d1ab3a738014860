"""Plans for a bluesky session: `calibrate`, and what it is made of."""

from ponikeeper_client.fit.start import Nominal
from ponikeeper_client.plans.calibrate import calibrate
from ponikeeper_client.plans.distances import at_positions
from ponikeeper_client.plans.results import Calibrated
from ponikeeper_client.plans.shutter import Shutter

__all__ = ["Calibrated", "Nominal", "Shutter", "at_positions", "calibrate"]
