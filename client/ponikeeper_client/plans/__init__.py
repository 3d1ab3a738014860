"""Plans for a bluesky session: `calibrate`, `calibrate_travel`, `at_positions`, `arrive`; types of their arguments."""

from ponikeeper_client.fit.start import Nominal
from ponikeeper_client.plans._exposure import Shutter
from ponikeeper_client.plans._result import Calibrated, CalibratedTravel
from ponikeeper_client.plans.arrive import arrive
from ponikeeper_client.plans.at_positions import at_positions
from ponikeeper_client.plans.calibrate import calibrate
from ponikeeper_client.plans.calibrate_travel import calibrate_travel

__all__ = [
    "Calibrated",
    "CalibratedTravel",
    "Nominal",
    "Shutter",
    "arrive",
    "at_positions",
    "calibrate",
    "calibrate_travel",
]
