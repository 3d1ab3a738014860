"""Write the screens for Phoebus from the contract: ``python tests/make_screens.py``."""

import sys
from collections.abc import Callable
from pathlib import Path

from ponikeeper.screens import EXAMPLE, overview
from screens.detector import detector
from screens.history import history
from screens.ioc import ioc
from screens.row import row
from screens.sheet import Sheet

FOLDER = Path(__file__).parents[1] / "deploy" / "phoebus"

SCREENS: dict[str, Callable[[], Sheet]] = {
    "ponikeeper_detector.bob": detector,
    "ponikeeper_history.bob": history,
    "ponikeeper_ioc.bob": ioc,
    "ponikeeper_row.bob": row,
}


def write(folder: Path) -> None:
    """Write all screens."""
    for name, draw in SCREENS.items():
        draw().write(folder / name)
    text = overview("Geometry of the area detectors", "$(IOC)", [("$(P1)", "$(DET1)"), ("$(P2)", "$(DET2)")])
    (folder / EXAMPLE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
