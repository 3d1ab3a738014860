"""Every event is recorded with the geometry that it had, and the start document of its run has that geometry."""

from functools import partial

from ponikeeper_client import calibration_guard
from ponikeeper_client.queueserver import arrive, at_positions, calibrate
from ponikeeper_client.xpdacq import calibration_md_wrapper

RE.preprocessors.append(partial(calibration_guard, renew_by="new_run"))
RE.preprocessors.append(partial(calibration_md_wrapper, on_change="fail"))
