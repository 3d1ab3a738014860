"""What a calibration did for one detector, and how a person sees it."""

from dataclasses import dataclass, field
from typing import Any

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit.fit import Fit
from ponikeeper_client.fit.table import fit_html, fit_table
from ponikeeper_client.plans._output_files import Files


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration of one detector that came to a geometry.

    Parameters
    ----------
    detector
        Its name.
    geometry
        What was found.
    fit
        How well it fits the image.
    files
        Image, PONI and picture.
    last
        What was in force before; None where nothing was.
    revision, serial
        What the IOC made of it; None where nothing was committed (`config_det=False`).
    warnings
        What is to be known of it.
    """

    detector: str
    geometry: Geometry
    fit: Fit
    files: Files
    last: Geometry | None
    revision: int | None = None
    serial: int | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def title(self) -> str:
        """Say what was done."""
        done = "not committed" if self.revision is None else f"revision {self.revision} is in force"
        return f"{self.detector}: {done}"

    def table(self) -> Any:
        """Give a rich table: value, sigma, change since the last calibration."""
        return fit_table(self.fit, self.last, self.title)

    def _repr_html_(self) -> str:
        return fit_html(self.fit, self.last, self.title)
