"""Make the tables of detectors from the installed pyFAI: ``python tests/support/make_detector_table.py``."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "iocs" / "ponikeeper" / "geometry" / "detectors.json"
PANELS = ROOT / "client" / "ponikeeper_client" / "fit" / "panels.json"


def make_table() -> dict[str, list[float]]:
    """List every name by which pyFAI's detector_factory finds a detector of known pixels (m), with its shape."""
    table: dict[str, list[float]] = {}
    for name, detector in _detectors().items():
        shape = map(int, detector.shape or ())  # of images with these pixels
        table[name] = [float(detector.pixel1), float(detector.pixel2), *shape]
    return table


def make_panels() -> dict[str, list[Any]]:
    """List the flat detectors with pixels of one size whose gaps are whole rows and columns: shape and gaps (px)."""
    panels: dict[str, list[Any]] = {}
    for name, detector in _detectors().items():
        if detector.shape is None or not detector.IS_FLAT or not detector.uniform_pixel:
            continue
        mask = np.zeros(detector.shape, bool) if detector.mask is None else np.asarray(detector.mask) != 0
        rows, columns = mask.all(1), mask.all(0)
        if mask.shape == tuple(detector.shape) and (mask == (rows[:, None] | columns)).all():
            panels[name] = [*map(int, detector.shape), _intervals(rows), _intervals(columns)]
    return panels


def _intervals(hidden: np.ndarray) -> list[list[int]]:
    """List where a line of truth values is true, as [first, after the last]."""
    edges = np.flatnonzero(np.diff(np.r_[0, hidden, 0]))
    return edges.reshape(-1, 2).tolist()


def _detectors() -> dict[str, Any]:
    """Build the detectors of known pixels, by every name in the form of the tables."""
    import pyFAI.detectors
    from pyFAI.detectors import Detector

    classes = {
        name: item
        for name, item in vars(pyFAI.detectors).items()
        if inspect.isclass(item) and issubclass(item, Detector)
    }
    classes.update(Detector.registry)
    detectors: dict[str, Any] = {}
    for name, cls in sorted(classes.items(), key=lambda item: item[0].lower().replace(" ", "_")):
        try:
            detector = cls()
        except TypeError:  # made for a shape or a file that has to be given: no one pixel size
            continue
        if detector.pixel1 and detector.pixel2:
            detectors[name.lower().replace(" ", "_")] = detector
    return detectors


def as_text(table: dict[str, Any]) -> str:
    """Write a table one detector a line, so that a change of pyFAI reads well in a diff."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in table.items()) + "\n}\n"


if __name__ == "__main__":
    for path, made in ((TABLE, make_table()), (PANELS, make_panels())):
        path.write_text(as_text(made), encoding="ascii")
        print(f"wrote {path}")
