"""Make the table of pixels and shapes from the installed pyFAI: ``python tests/support/make_detector_table.py``."""

import inspect
import json
from pathlib import Path

TABLE = Path(__file__).parents[2] / "iocs" / "ponikeeper" / "geometry" / "detectors.json"


def make_table() -> dict[str, list[float]]:
    """List every name by which pyFAI's detector_factory finds a detector of known pixels (m), with its shape."""
    import pyFAI.detectors
    from pyFAI.detectors import Detector

    classes = {
        name: item
        for name, item in vars(pyFAI.detectors).items()
        if inspect.isclass(item) and issubclass(item, Detector)
    }
    classes.update(Detector.registry)
    table: dict[str, list[float]] = {}
    for name, cls in classes.items():
        try:
            detector = cls()
        except TypeError:  # made for a shape or a file that has to be given: no one pixel size
            continue
        if detector.pixel1 and detector.pixel2:
            shape = map(int, detector.shape or ())  # of images with these pixels
            table[name.lower().replace(" ", "_")] = [float(detector.pixel1), float(detector.pixel2), *shape]
    return dict(sorted(table.items()))


def as_text(table: dict[str, list[float]]) -> str:
    """Write the table one detector a line, so that a change of pyFAI reads well in a diff."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in table.items()) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(as_text(make_table()), encoding="ascii")
    print(f"wrote {TABLE}")
