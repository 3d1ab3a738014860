"""Wait for files that may be written, or finished, after the run has closed."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ponikeeper.errors import ImageError, PonikeeperError
from ponikeeper_client.images._frames import Frames

TIMEOUT = 30.0
"""How long to wait for missing images (s)."""

_FIRST, _LONGEST = 0.1, 1.0
_MAX_LISTED = 3


class Asset(Protocol):
    """Frames in files."""

    @property
    def files(self) -> Sequence[Path]:
        """All files that contain the frames, as far as they are known before they are written."""
        ...

    def load(self) -> Frames:
        """Read the frames, shape (n, y, x); raise the error of the reader if they are incomplete."""
        ...


class Pauses:
    """The pauses between attempts, and the time since the first."""

    def __init__(self) -> None:
        self._begin, self._next = time.monotonic(), _FIRST

    @property
    def seconds(self) -> float:
        """Time since the first attempt (s)."""
        return time.monotonic() - self._begin

    def pause(self) -> None:
        """Wait until the next attempt."""
        time.sleep(self._next)
        self._next = min(2 * self._next, _LONGEST)


def load_when_whole(assets: Sequence[Asset], what: str, timeout: float) -> list[Frames]:
    """Read assets once their files are complete.

    Frames are accepted if, after a pause, their files are unchanged or still contain the same frames: a
    file to which other data is appended may keep changing.

    Parameters
    ----------
    assets
        The frames to read.
    what
        Description of the images for the error message.
    timeout
        How long to wait for all of them (s).

    Returns
    -------
    list of Frames
        The frames of each asset.

    Raises
    ------
    ImageError
        A file was missing or incomplete until the timeout; the message names it, the reason and the time waited.
    """
    loaded: dict[int, Frames] = {}
    stamps: dict[int, object] = {}
    waited = Pauses()
    while True:
        problem: tuple[Asset, Exception | str] | None = None
        settled = True
        for number, asset in enumerate(assets):
            stamp = _stamp(asset.files)
            if number in loaded and stamp == stamps[number]:
                continue
            try:
                frames = asset.load()
            except PonikeeperError:
                raise
            except Exception as error:  # noqa: BLE001  # readers raise errors of any kind for a half-written file
                problem = (asset, error)
                break
            if number not in loaded:
                settled = False
            elif not np.array_equal(loaded[number], frames, equal_nan=True):
                problem = (asset, "is still being written")
            loaded[number], stamps[number] = frames, stamp
        if settled and problem is None:
            return [loaded[number] for number in range(len(assets))]
        if problem is not None and waited.seconds >= timeout:
            raise _failure(*problem, what, waited.seconds)
        waited.pause()


def _stamp(files: Sequence[Path]) -> object:
    """Return the sizes and modification times of files, which change when they are written to."""
    return tuple(_size_and_time(file) for file in files)


def _size_and_time(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _failure(asset: Asset, error: Exception | str, what: str, seconds: float) -> ImageError:
    files = asset.files
    missing = [file for file in files if _size_and_time(file) is None]
    unreadable = missing or files
    names = ", ".join(str(file) for file in unreadable[:_MAX_LISTED]) + (
        " and more" if len(unreadable) > _MAX_LISTED else ""
    )
    if missing:
        lacks = "is not there"
    elif isinstance(error, str):
        lacks = error
    else:
        lacks = f"cannot be read ({type(error).__name__}: {error})"
    failure = ImageError(
        f"{what} could not be read: {names} {lacks}, after waiting for {seconds:.1f} s; nothing was removed: what the "
        "detector wrote is where it wrote it"
    )
    failure.__cause__ = error if isinstance(error, Exception) else None
    return failure
