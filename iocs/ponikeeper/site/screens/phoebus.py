"""Write the screens for Phoebus from the PV contract: ``python -m ponikeeper.site.screens.phoebus``."""

import sys
from collections.abc import Callable
from pathlib import Path

from ponikeeper.site.deploy_files import deploy_folder
from ponikeeper.site.screens.detector import detector
from ponikeeper.site.screens.history import history
from ponikeeper.site.screens.ioc import ioc
from ponikeeper.site.screens.overview import EXAMPLE, overview
from ponikeeper.site.screens.row import row
from ponikeeper.site.screens.sheet import Sheet

FOLDER = deploy_folder() / "phoebus"

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
