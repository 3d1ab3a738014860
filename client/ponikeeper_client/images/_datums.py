"""Read images from files that Resource and Datum documents describe, with the installed handlers."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import numpy as np
from event_model import EventModelError, Filler

from ponikeeper.errors import ImageError
from ponikeeper_client.images._frames import Frames, as_frames, described_image_shape, require_shape

Document = Mapping[str, Any]


def is_external(event: Document, descriptor: Document, data_key: str) -> bool:
    """Return whether an event has, for a data key, the id of a datum instead of the value itself."""
    filled = event.get("filled") or {}
    if data_key in filled:
        return filled[data_key] is False
    return "external" in descriptor["data_keys"][data_key]


def assets(
    documents: Mapping[str, Sequence[Document]],
    descriptors: Mapping[str, Document],
    data_key: str,
    handlers: Mapping[str, Callable[..., Any]],
    root_map: Mapping[str, str],
) -> Iterator["DatumAsset"]:
    """Yield an asset for each event of a stream whose value is a datum.

    Parameters
    ----------
    documents
        The documents of one run, by kind.
    descriptors
        The descriptors of the stream, by uid.
    data_key
        The key of the images.
    handlers
        Readers of external files by spec; they take precedence over the installed ones.
    root_map
        The root on this host, by the recorded root.

    Yields
    ------
    DatumAsset
        In the order of the events.

    Raises
    ------
    ImageError
        A document or a handler is missing.
    """
    data = {datum["datum_id"]: datum for datum in documents.get("datum", ())}
    resources = {resource["uid"]: resource for resource in documents.get("resource", ())}
    fillers: dict[str, Filler] = {}
    for event in documents.get("event", ()):
        descriptor = descriptors.get(event["descriptor"])
        if descriptor is None or data_key not in event["data"] or not is_external(event, descriptor, data_key):
            continue
        datum = data.get(event["data"][data_key])
        resource = resources.get(datum["resource"]) if datum else None
        if datum is None or resource is None:
            raise ImageError(f"the run refers to {event['data'][data_key]!r} for {data_key}, but has no such datum")
        spec = resource["spec"]
        if spec not in fillers:
            fillers[spec] = Filler(
                {spec: handlers.get(spec) or _installed(spec)},
                root_map=dict(root_map),
                inplace=False,
                retry_intervals=[],
            )
        yield DatumAsset(fillers[spec], resource, datum, descriptor["data_keys"][data_key])


class DatumAsset:
    """The frames of one datum.

    Parameters
    ----------
    filler
        Creates the handler, and replaces the recorded root by the root on this host.
    resource
        The Resource document of the files.
    datum
        The Datum document of the frames.
    data_key
        The description of the images in the event descriptor.
    """

    def __init__(self, filler: Filler, resource: Document, datum: Document, data_key: Document) -> None:
        self._filler, self._resource, self._kwargs = filler, resource, datum["datum_kwargs"]
        self._shape = described_image_shape(data_key)
        recorded = resource.get("root", "")
        self._path = Path(filler.root_map.get(recorded, recorded), resource["resource_path"])

    @property
    def files(self) -> Sequence[Path]:
        """The path of the resource if it is a file; otherwise the files that the handler lists, if it can list them."""
        if not self._path.is_file():
            with contextlib.suppress(Exception), self._handler() as handler:
                return [Path(os.fspath(name)) for name in handler.get_file_list([self._kwargs])]
        return [self._path]

    def load(self) -> Frames:
        """Read the frames with a new handler: one that read an incomplete file may have cached it."""
        with self._handler() as handler:
            values = np.asarray(handler(**self._kwargs))
        if not values.size:
            raise ValueError("not one frame is there")
        frames = as_frames(values, str(self._path))
        count = self._resource["resource_kwargs"].get("frame_per_point")
        require_shape(frames, None if count is None else int(count), self._shape)
        return frames

    @contextlib.contextmanager
    def _handler(self) -> Iterator[Any]:
        try:
            handler = self._filler.get_handler(cast("Any", self._resource))
        except EventModelError as error:  # its message is the whole document; its cause says what went wrong
            raise (error.__cause__ or error) from None
        try:
            yield handler
        finally:
            if hasattr(handler, "close"):
                handler.close()


def _installed(spec: str) -> Callable[..., Any]:
    """Load the handler of a spec; raises `ImageError` where none is installed."""
    entry_point = next(iter(entry_points(group="databroker.handlers", name=spec)), None)
    if entry_point is None:
        raise ImageError(
            f"no handler is installed for files of the spec {spec}: pip install 'ponikeeper[catalog]' brings those of "
            "areaDetector; else give one with handlers=, or the images with images= or db="
        )
    try:
        return entry_point.load()
    except ImportError as error:
        raise ImageError(f"the handler {entry_point.value} for the spec {spec} cannot be loaded: {error}") from error
