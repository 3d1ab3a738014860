"""Calibrated detector geometry in a bluesky session: the public names of the ponikeeper client.

- Devices: `CalibrationData` and `CalibrationMixin` for ophyd, `AsyncCalibrationData` and
  `AsyncCalibrationMixin` for ophyd-async. They record the active geometry in every run.
- Plans: `calibrate`, `calibrate_travel`, `at_positions`, `arrive` and the preprocessor `calibration_guard`.
- Back from a run: `recorded`, `best_known`, `geometries`, `integrate`, `azimuthal_integrator`, `uncertainty`, `poni`,
  `write_poni`, `write_nexus`.
- The runs that were recorded with a revision: `affected`.
- The history over time: `timeline`, `read_history`.

A name is loaded when it is first used, so importing this package costs nothing, and each name needs
only the libraries of its own module. The plans under xpdAcq's names are in `ponikeeper_client.xpdacq`,
those for bluesky-queueserver in `ponikeeper_client.queueserver`.

Examples
--------
>>> from ponikeeper_client import CalibrationData
"""

import importlib
from typing import TYPE_CHECKING, Any

from ponikeeper.errors import MissingExtraError

if TYPE_CHECKING:  # for editors and type checkers; at run time `__getattr__` loads the same names
    from ponikeeper_client.async_device import AsyncCalibrationData, AsyncCalibrationMixin
    from ponikeeper_client.device import CalibrationData, CalibrationMixin
    from ponikeeper_client.guard import calibration_guard
    from ponikeeper_client.plans import (
        Calibrated,
        CalibratedTravel,
        Nominal,
        Shutter,
        arrive,
        at_positions,
        calibrate,
        calibrate_travel,
    )
    from ponikeeper_client.recall import (
        BestKnown,
        EventGeometry,
        Geometries,
        Pattern,
        Recorded,
        SearchResult,
        Uncertainty,
        affected,
        azimuthal_integrator,
        best_known,
        geometries,
        integrate,
        poni,
        read_history,
        recorded,
        timeline,
        uncertainty,
        write_nexus,
        write_poni,
    )

__all__ = [
    "AsyncCalibrationData",
    "AsyncCalibrationMixin",
    "BestKnown",
    "Calibrated",
    "CalibratedTravel",
    "CalibrationData",
    "CalibrationMixin",
    "EventGeometry",
    "Geometries",
    "Nominal",
    "Pattern",
    "Recorded",
    "SearchResult",
    "Shutter",
    "Uncertainty",
    "affected",
    "arrive",
    "at_positions",
    "azimuthal_integrator",
    "best_known",
    "calibrate",
    "calibrate_travel",
    "calibration_guard",
    "geometries",
    "integrate",
    "poni",
    "read_history",
    "recorded",
    "timeline",
    "uncertainty",
    "write_nexus",
    "write_poni",
]

_MODULES = {
    "AsyncCalibrationData": "async_device",
    "AsyncCalibrationMixin": "async_device",
    "CalibrationData": "device",
    "CalibrationMixin": "device",
    "calibration_guard": "guard",
    "Calibrated": "plans",
    "CalibratedTravel": "plans",
    "Nominal": "plans",
    "Shutter": "plans",
    "arrive": "plans",
    "at_positions": "plans",
    "calibrate": "plans",
    "calibrate_travel": "plans",
    "BestKnown": "recall",
    "EventGeometry": "recall",
    "Geometries": "recall",
    "Pattern": "recall",
    "Recorded": "recall",
    "SearchResult": "recall",
    "Uncertainty": "recall",
    "affected": "recall",
    "azimuthal_integrator": "recall",
    "best_known": "recall",
    "geometries": "recall",
    "integrate": "recall",
    "poni": "recall",
    "read_history": "recall",
    "recorded": "recall",
    "timeline": "recall",
    "uncertainty": "recall",
    "write_nexus": "recall",
    "write_poni": "recall",
}
"""The module of this package that defines each public name."""


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562); raise `MissingExtraError` if its libraries are not installed."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        library = (error.name or "a library").partition(".")[0]
        if library in ("ponikeeper", "ponikeeper_client"):
            raise
        raise MissingExtraError(library) from error
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    """Return the names of the module, those that are not loaded yet included."""
    return sorted({*globals(), *__all__})
