"""xpdAcq's face: `XrayBasicPlans` and `MultiDistPlans`, for profiles and notebooks that were written for xpdAcq."""

from ponikeeper_client.xpdacq.darkframes import MissingDarkframesError
from ponikeeper_client.xpdacq.distances import MultiDistPlans
from ponikeeper_client.xpdacq.plans import XrayBasicPlans

__all__ = ["MissingDarkframesError", "MultiDistPlans", "XrayBasicPlans"]
