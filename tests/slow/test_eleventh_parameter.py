"""An eleventh parameter of the geometry is a row, a field and a component; everything else derives from them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
TIMEOUT = 60

ADDED = {
    "iocs/ponikeeper/geometry/parameters.py": (
        '            Parameter("wavelength",',
        '            Parameter("offset", unit="m", lower=-1.0, upper=1.0, doc="Offset", precision=9, default=0.0,\n'
        "                usual=(1e-4, 1e-2, 1.0)),\n",
    ),
    "iocs/ponikeeper/geometry/geometry.py": ("\n    def __post_init__(self)", "\n    offset: float = 0.0\n"),
    "client/ponikeeper_client/device.py": (
        '    wavelength = _parameter("wavelength")',
        '    offset = _parameter("offset")\n',
    ),
}
"""What a developer adds to each file, and before which text."""


def test_eleventh_parameter_needs_three_files(tmp_path):
    for name in ("iocs/ponikeeper", "client/ponikeeper_client"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (place, added) in ADDED.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count(place) == 1, name
        (tmp_path / name).write_text(text.replace(place, added + place), encoding="utf-8")
    paths = os.pathsep.join(str(path) for path in (tmp_path / "iocs", tmp_path / "client", SUPPORT))
    command, environment = [sys.executable, SUPPORT / "eleven_parameters.py"], {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
