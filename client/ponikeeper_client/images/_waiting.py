"""Waiting for files that may be written, or finished, after the run has closed."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ponikeeper.errors import ImageError, PonikeeperError
from ponikeeper_client.images._frames import Frames

TIMEOUT = 30.0
"""How long to wait for images that are not there yet (s)."""

_FIRST, _LONGEST = 0.1, 1.0
_TOLD = 3


class Asset(Protocol):
    """Frames that lie in files."""

    @property
    def files(self) -> Sequence[Path]:
        """Every file that the frames lie in, as far as it is known before they are written."""
        ...

    def load(self) -> Frames:
        """Read the frames, shape (n, y, x); raises whatever the reader raises where they are not whole."""
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
    """Read assets once their files are there and whole.

    What was read counts when, a pause later, the files are as they were, or hold the same frames still:
    a file that other data is appended to need not come to rest.

    Parameters
    ----------
    what
        Whose images they are, for the error.
    timeout
        How long to wait for all of them (s).

    Raises
    ------
    ImageError
        With the file, what it lacks, and how long it was waited for.
    """
    found: dict[int, Frames] = {}
    stamps: dict[int, object] = {}
    waited = Pauses()
    while True:
        trouble: tuple[Asset, Exception | str] | None = None
        settled = True
        for number, asset in enumerate(assets):
            stamp = _stamp(asset.files)
            if number in found and stamp == stamps[number]:
                continue
            try:
                frames = asset.load()
            except PonikeeperError:
                raise
            except Exception as error:  # noqa: BLE001  # readers answer a half-written file with errors of any kind
                trouble = (asset, error)
                break
            if number not in found:
                settled = False
            elif not np.array_equal(found[number], frames, equal_nan=True):
                trouble = (asset, "is still being written")
            found[number], stamps[number] = frames, stamp
        if settled and trouble is None:
            return [found[number] for number in range(len(assets))]
        if trouble is not None and waited.seconds >= timeout:
            raise _failure(*trouble, what, waited.seconds)
        waited.pause()


def _stamp(files: Sequence[Path]) -> object:
    """Give what changes when files are written to."""
    return tuple(_size_and_time(file) for file in files)


def _size_and_time(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _failure(asset: Asset, error: Exception | str, what: str, seconds: float) -> ImageError:
    files = asset.files
    gone = [file for file in files if _size_and_time(file) is None]
    names = gone or files
    told = ", ".join(str(file) for file in names[:_TOLD]) + (" and more" if len(names) > _TOLD else "")
    if gone:
        lacks = "is not there"
    elif isinstance(error, str):
        lacks = error
    else:
        lacks = f"cannot be read ({type(error).__name__}: {error})"
    failure = ImageError(
        f"{what} could not be read: {told} {lacks}, after waiting for {seconds:.1f} s; nothing was removed: what the "
        "detector wrote is where it wrote it"
    )
    failure.__cause__ = error if isinstance(error, Exception) else None
    return failure
