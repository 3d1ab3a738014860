"""Images of a run out of the session's catalog: Tiled, or databroker."""

from typing import Any

import numpy as np

from ponikeeper.errors import ImageError
from ponikeeper_client.images.frames import Frames, as_frames
from ponikeeper_client.images.waiting import TIMEOUT, Pauses


class _NotYetError(Exception):
    """Something of the run has not come to the catalog."""


class CatalogImages:
    """The images of a run as a catalog has them.

    Parameters
    ----------
    db
        A Tiled client of a catalog of runs, or databroker's ``Broker``, version 1 or 2.
    timeout
        How long to wait for the run and its images to appear (s).
    """

    def __init__(self, db: Any, timeout: float = TIMEOUT) -> None:
        self._db, self._timeout = getattr(db, "v2", db), timeout
        self._name = f"{type(db).__module__.partition('.')[0]}'s {type(db).__name__}"

    def read(self, run_uid: str, data_key: str, stream: str = "primary") -> Frames | None:
        """Give the frames of the run of exactly this uid, once all of them are in the catalog.

        Parameters
        ----------
        run_uid
            The whole uid; the run has to be closed.
        data_key
            Which key has the images.
        stream
            Which stream.

        Returns
        -------
        Frames or None
            Shape (n, y, x), in the order of the events; None where the run has no such stream.

        Raises
        ------
        ImageError
            The run or its images did not appear in time, or they are no images.
        """
        waited = Pauses()
        while True:
            try:
                return self._read(run_uid, data_key, stream)
            except ImageError:
                raise
            except Exception as error:
                if waited.seconds >= self._timeout:
                    told = str(error) if isinstance(error, _NotYetError) else f"{type(error).__name__}: {error}"
                    raise ImageError(
                        f"{self._name} has no images {data_key} in the stream {stream} of run {run_uid} after "
                        f"{waited.seconds:.1f} s: {told}"
                    ) from error
            waited.pause()

    def _read(self, run_uid: str, data_key: str, stream: str) -> Frames | None:
        """Read once; raises anything where something has not come yet."""
        try:
            run = self._db[run_uid]
        except KeyError:
            raise _NotYetError("the run is not there") from None
        found = run.metadata["start"]["uid"]
        if found != run_uid:  # databroker completes the beginning of a uid
            raise _NotYetError(f"the run is not there, only {found}")
        stop = run.metadata.get("stop")
        if not stop:
            raise _NotYetError("the run is there, but not its end")
        events = (stop.get("num_events") or {}).get(stream)
        if events is None and stream not in run:
            return None
        values = np.asarray(_column(run[stream], data_key).read())
        if len(values) < (events or 0):
            raise _NotYetError(f"{len(values)} of {events} events are there")
        if values.ndim == 4:  # events of several frames
            values = values.reshape(-1, *values.shape[2:])
        return as_frames(values, f"the images of {data_key} in the stream {stream} of run {run_uid}")


def _column(stream: Any, data_key: str) -> Any:
    """Give the node of a data key: under the stream in Tiled, under its data in databroker."""
    for node in (stream, stream.get("data", {})):
        if data_key in node:
            return node[data_key]
    raise _NotYetError(f"the stream has no {data_key}, only {', '.join(stream) or 'nothing'}")
