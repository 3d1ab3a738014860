"""The check of a mask by the part of the project that reads images, where it is installed."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path


def check_mask(path: str | Path, geometry: Mapping[str, object]) -> None:
    """Check that a file is a mask of a detector, before it is committed.

    The IOC reads no images. A module that adds commands to the command line may have a function `check_mask`.

    Parameters
    ----------
    path
        The file.
    geometry
        The values of the geometry for which it is.

    Raises
    ------
    PonikeeperError
        The file is no image, or has another shape than the detector; nothing is checked without such a module.
    """
    for entry in entry_points(group="ponikeeper.commands"):
        check = getattr(import_module(entry.module), "check_mask", None)
        if check is not None:
            check(path, geometry)
