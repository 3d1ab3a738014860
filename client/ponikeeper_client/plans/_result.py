"""Results of a calibration of one detector, at one position or at several, with their tables for people."""

from dataclasses import dataclass, field
from typing import Any

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit.fit import Fit
from ponikeeper_client.fit.table import fit_html, fit_table
from ponikeeper_client.model.fit import FittedModel
from ponikeeper_client.model.table import member_table
from ponikeeper_client.plans._output_files import OutputFiles


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A successful calibration of one detector.

    Parameters
    ----------
    detector
        Name of the detector.
    geometry
        The new geometry.
    fit
        How well it fits the image.
    files
        Image, PONI and figure.
    last
        The geometry that was active before; None if there was none.
    revision, serial
        The revision and its activation in the IOC; None if nothing was committed (`config_det=False`).
    warnings
        What the user should know about the geometry.
    status, status_reason
        Status of the active geometry after the commit, and why; empty if nothing was committed, or another
        geometry is active since.
    """

    detector: str
    geometry: Geometry
    fit: Fit
    files: OutputFiles
    last: Geometry | None
    revision: int | None = None
    serial: int | None = None
    warnings: tuple[str, ...] = field(default=())
    status: str = ""
    status_reason: str = ""

    @property
    def title(self) -> str:
        """The detector, and the active revision or that nothing was committed."""
        outcome = "not committed" if self.revision is None else f"revision {self.revision} is active"
        if self.status:
            outcome += f", {self.status}" + (f": {self.status_reason}" if self.status_reason else "")
        return f"{self.detector}: {outcome}"

    def table(self) -> Any:
        """Build a rich table: value, standard deviation, change since the last calibration.

        Returns
        -------
        rich.table.Table
            For `rich.print`; in a notebook the result itself is shown as a table.
        """
        return fit_table(self.fit, self.last, self.title)

    def _repr_html_(self) -> str:
        return fit_html(self.fit, self.last, self.title)


@dataclass(frozen=True, slots=True)
class CalibratedTravel:
    """The model of one detector, and the calibrations to which it was fitted.

    Parameters
    ----------
    detector
        Name of the detector.
    calibrations
        In the order of the positions.
    fitted
        The model, and how well it fits.
    revision, serial
        The revision that is the model, and its activation.
    status, status_reason
        Status of the active geometry after the commit, and why; empty if another geometry is active since.
    warnings
        What the user should know about the model.
    """

    detector: str
    calibrations: tuple[Calibrated, ...]
    fitted: FittedModel
    revision: int
    serial: int
    status: str = ""
    status_reason: str = ""
    warnings: tuple[str, ...] = field(default=())

    @property
    def title(self) -> str:
        """The detector, the revision of its model, and the status."""
        status = self.status + (f": {self.status_reason}" if self.status_reason else "")
        return f"{self.detector}: the model is revision {self.revision}" + (f", {status}" if status else "")

    def table(self) -> Any:
        """Build a rich table of the members: position, residual, and how far the others predict each.

        Returns
        -------
        rich.table.Table
        """
        return member_table(self.fitted.model)
