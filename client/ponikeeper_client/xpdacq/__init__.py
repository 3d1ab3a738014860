"""xpdAcq's face: `XrayBasicPlans`, for profiles and notebooks that were written for xpdAcq."""

from ponikeeper_client.xpdacq.darkframes import MissingDarkframesError
from ponikeeper_client.xpdacq.plans import XrayBasicPlans

__all__ = ["MissingDarkframesError", "XrayBasicPlans"]
