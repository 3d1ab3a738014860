"""The images of one event of a run, read when they are needed: a run can have more than fit into memory."""

from typing import Any

import numpy as np

from ponikeeper.errors import ImageError
from ponikeeper_client.images._frames import Frames, as_frames

Column = Any
"""An array with rows of images: NumPy's, or that of a catalog."""


def column_of(stream: Any, data_key: str) -> Column | None:
    """Return the node of a data key in a stream of a catalog.

    Parameters
    ----------
    stream
        Of Tiled, which has the keys in the stream, or of databroker, which has them in its data.
    data_key
        The key.

    Returns
    -------
    node or None
        None where there is none.
    """
    for node in (stream, stream.get("data", {})):
        if data_key in node:
            return node[data_key]
    return None


def images_of(run: Any, stream: str, data_key: str, events: int) -> Column:
    """Return the images of a stream of a run, without reading them.

    Parameters
    ----------
    run
        A run of a catalog, of Tiled or databroker.
    stream
        Name of the stream.
    data_key
        The key of the images.
    events
        The number of events.

    Returns
    -------
    Column
        A row for each event, or for each of their frames, in their order.

    Raises
    ------
    ImageError
        The run does not have the images, or not the same number of each event.
    """
    client = run if hasattr(run, "metadata") else getattr(run, "v2", run)  # of databroker's Header
    is_stored = hasattr(client, "metadata") and stream in client
    column = column_of(client[stream], data_key) if is_stored else None
    if column is None:
        raise ImageError(
            f"this {type(run).__name__} has no images {data_key} in the stream {stream}: expected the run of a "
            "catalog, catalog[uid]; give the images of another source with images="
        )
    if int(column.shape[0]) % events:
        raise ImageError(
            f"the run has {column.shape[0]} rows of {data_key} for {events} events: it is unknown which belongs to "
            "which; give the images of the events in their order with images="
        )
    return column


def frames_of(column: Column, index: int, events: int, what: str) -> Frames:
    """Read the frames of one event.

    Parameters
    ----------
    column
        The images of all events: a row for each, or for each of their frames.
    index
        Which event.
    events
        The number of events.
    what
        Description for the error message.

    Returns
    -------
    Frames
        Shape (n, y, x).

    Raises
    ------
    ImageError
        They are not images.
    """
    each = int(column.shape[0]) // events
    rows = np.asarray(column[index] if each == 1 else column[index * each : (index + 1) * each])
    return as_frames(rows, what)
