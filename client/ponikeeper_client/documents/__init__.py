"""Write a geometry into the documents of a run, and read it back.

Pure: it needs no ophyd, so other readers of documents can use it, too. pyFAI is loaded when a
detector is built.
"""

from ponikeeper_client.documents._calibration_md import CALIBRATION_MD, CALIBRATION_MD_SOURCE, calibration_md
from ponikeeper_client.documents._files import check_mask, verify_files
from ponikeeper_client.documents._integrators import azimuthal_integrator, integrator_of
from ponikeeper_client.documents._models import RecordedModel, model_text, recorded_model
from ponikeeper_client.documents._positions import in_units_of_joint, matched_keys
from ponikeeper_client.documents._reading import (
    Calibration,
    calibrations,
    geometry,
    image_shape,
    position_columns,
)
from ponikeeper_client.documents._status import (
    NOT_RECORDED,
    Applicability,
    StatusRecord,
    applicability,
    recorded_applicability,
    warn_once,
)
from ponikeeper_client.documents._writing import (
    CONTINUES_KEY,
    GUARD_KEY,
    RECORDED,
    STATE_KEYS,
    Configuration,
    configuration,
    recorded_value,
)

__all__ = [
    "CALIBRATION_MD",
    "CALIBRATION_MD_SOURCE",
    "CONTINUES_KEY",
    "GUARD_KEY",
    "NOT_RECORDED",
    "RECORDED",
    "STATE_KEYS",
    "Applicability",
    "Calibration",
    "Configuration",
    "RecordedModel",
    "StatusRecord",
    "applicability",
    "azimuthal_integrator",
    "calibration_md",
    "calibrations",
    "check_mask",
    "configuration",
    "geometry",
    "image_shape",
    "in_units_of_joint",
    "integrator_of",
    "matched_keys",
    "model_text",
    "position_columns",
    "recorded_applicability",
    "recorded_model",
    "recorded_value",
    "verify_files",
    "warn_once",
]
