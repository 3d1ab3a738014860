"""`XrayBasicPlans`, `MultiDistPlans` and `calibration_md_wrapper`, for what was written for xpdAcq."""

from ponikeeper_client.xpdacq._basic_plans import XrayBasicPlans
from ponikeeper_client.xpdacq._calibration_md import calibration_md_wrapper
from ponikeeper_client.xpdacq._multi_distance import MultiDistPlans

__all__ = ["MultiDistPlans", "XrayBasicPlans", "calibration_md_wrapper"]
