"""`XrayBasicPlans` and `MultiDistPlans`, for profiles and notebooks that were written for xpdAcq."""

from ponikeeper_client.xpdacq._basic_plans import XrayBasicPlans
from ponikeeper_client.xpdacq._multi_distance import MultiDistPlans

__all__ = ["MultiDistPlans", "XrayBasicPlans"]
