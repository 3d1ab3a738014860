"""The pixel sizes that pyFAI knows by a detector's name: a packaged table, so the IOC needs no pyFAI.

The table is generated from pyFAI (``python tests/support/make_detector_table.py``); a test compares it with pyFAI.
"""

import functools
import json
from importlib.resources import files
from typing import cast


def pixel_size(name: str) -> tuple[float, float] | None:
    """Look up the pixel size of a detector by pyFAI's name, as pyFAI would.

    Parameters
    ----------
    name
        Class name or any alias that pyFAI knows, in any case, with spaces or underscores.

    Returns
    -------
    tuple of float, or None
        Pixel size along axis 1 and axis 2 (m); None where the name is unknown or has several sizes.
    """
    return _table().get(name.lower().replace(" ", "_"))


@functools.cache
def _table() -> dict[str, tuple[float, float]]:
    text = files("ponikeeper.geometry").joinpath("detectors.json").read_text(encoding="ascii")
    rows = cast("dict[str, list[float]]", json.loads(text))
    return {name: (row[0], row[1]) for name, row in rows.items()}
