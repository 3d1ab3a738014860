"""Sources of the images of a run: its own documents, the session's catalog, or a function of the user."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ponikeeper.errors import ImageError
from ponikeeper_client.images._collector import Collector
from ponikeeper_client.images._events import column_of
from ponikeeper_client.images._frames import Frames, as_frames
from ponikeeper_client.images._waiting import TIMEOUT, Pauses


class ImageSource(Protocol):
    """A source of the images of a run."""

    def read(self, run_uid: str, data_key: str, stream: str = "primary") -> Frames | None:
        """Return the frames of one run.

        Parameters
        ----------
        run_uid
            Uid of the run.
        data_key
            The key of the images.
        stream
            Name of the stream.

        Returns
        -------
        Frames or None
            Shape (n, y, x); None where the run has no such stream.
        """
        ...


class UserImages:
    """Images of a run from a function of the user.

    Parameters
    ----------
    images
        Takes a run's uid and a data key; returns an array of shape (y, x) or (n, y, x). It must
        subtract dark frames itself: it is called only for the stream ``primary``.
    """

    def __init__(self, images: Callable[[str, str], ArrayLike]) -> None:
        self._images = images

    def read(self, run_uid: str, data_key: str, stream: str = "primary") -> Frames | None:
        """Call the user's function.

        Parameters
        ----------
        run_uid
            Uid of the run.
        data_key
            The key of the images.
        stream
            Name of the stream.

        Returns
        -------
        Frames or None
            Shape (n, y, x); None for any stream except ``primary``.

        Raises
        ------
        ImageError
            The function failed, or did not return images.
        """
        if stream != "primary":
            return None
        try:
            images = self._images(run_uid, data_key)
        except Exception as error:
            raise ImageError(f"images({run_uid!r}, {data_key!r}) failed: {type(error).__name__}: {error}") from error
        return as_frames(images, f"what images({run_uid!r}, {data_key!r}) returned")


def image_source(
    collector: Collector,
    images: Callable[[str, str], ArrayLike] | None = None,
    db: Any = None,
    timeout: float = TIMEOUT,
) -> ImageSource:
    """Choose the source of images: the user's function, the session's catalog, otherwise the run's own documents.

    Parameters
    ----------
    collector
        Receives the documents of the run.
    images
        As for `UserImages`.
    db
        As for `CatalogImages`.
    timeout
        How long to wait for a run to appear in the catalog (s).

    Returns
    -------
    ImageSource
        The chosen source.

    Raises
    ------
    ImageError
        Both a function and a catalog are given.
    """
    if images is not None and db is not None:
        raise ImageError("images= and db= are both given: give the one that has the images")
    if images is not None:
        return UserImages(images)
    return collector if db is None else CatalogImages(db, timeout)


class _NotYetError(Exception):
    """A part of the run is not in the catalog yet."""


class CatalogImages:
    """Images of a run from a catalog.

    Parameters
    ----------
    db
        A Tiled client of a catalog of runs, or databroker's ``Broker``, version 1 or 2.
    timeout
        How long to wait for the run and its images to appear (s).
    """

    def __init__(self, db: Any, timeout: float = TIMEOUT) -> None:
        self._db, self._timeout = db if hasattr(db, "metadata") else getattr(db, "v2", db), timeout
        self._name = f"{type(db).__module__.partition('.')[0]}'s {type(db).__name__}"

    def read(self, run_uid: str, data_key: str, stream: str = "primary") -> Frames | None:
        """Return the frames of the run with exactly this uid, once all of them are in the catalog.

        Parameters
        ----------
        run_uid
            The whole uid; the run must be closed.
        data_key
            The key of the images.
        stream
            Name of the stream.

        Returns
        -------
        Frames or None
            Shape (n, y, x), in the order of the events; None where the run has no such stream.

        Raises
        ------
        ImageError
            The run or its images did not appear in time, or the values are not images.
        """
        waited = Pauses()
        while True:
            try:
                return self._read(run_uid, data_key, stream)
            except ImageError:
                raise
            except Exception as error:
                if waited.seconds >= self._timeout:
                    cause = str(error) if isinstance(error, _NotYetError) else f"{type(error).__name__}: {error}"
                    raise ImageError(
                        f"{self._name} has no images {data_key} in the stream {stream} of run {run_uid} after "
                        f"{waited.seconds:.1f} s: {cause}"
                    ) from error
            waited.pause()

    def _read(self, run_uid: str, data_key: str, stream: str) -> Frames | None:
        """Try to read once; raise an error while a part of the run is not in the catalog yet."""
        try:
            run = self._db[run_uid]
        except KeyError:
            raise _NotYetError("the run is not there") from None
        uid = run.metadata["start"]["uid"]
        if uid != run_uid:  # databroker completes the beginning of a uid
            raise _NotYetError(f"the run is not there, only {uid}")
        stop = run.metadata.get("stop")
        if not stop:
            raise _NotYetError("the run is there, but not its end")
        events = (stop.get("num_events") or {}).get(stream)
        if events is None and stream not in run:
            return None
        column = column_of(run[stream], data_key)
        if column is None:
            raise _NotYetError(f"the stream has no {data_key}, only {', '.join(run[stream]) or 'nothing'}")
        values = np.asarray(column.read())
        if len(values) < (events or 0):
            raise _NotYetError(f"{len(values)} of {events} events are there")
        if values.ndim == 4:  # events of several frames
            values = values.reshape(-1, *values.shape[2:])
        return as_frames(values, f"the images of {data_key} in the stream {stream} of run {run_uid}")
